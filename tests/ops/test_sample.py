"""From what workers count to what the rules see."""

from __future__ import annotations

from pathlib import Path

from tenantry.ops.alerts import Evaluator, Series
from tenantry.ops.metrics import Slots
from tenantry.ops.sample import Sampler
from tenantry.signals import Signals


async def test_server_errors_of_a_worker_reach_the_rule(tmp_path: Path):
    slots = Slots(tmp_path / "run")
    signals = Signals({"notes.add": "mutation"}, slots.claim())
    evaluator, sampler = Evaluator(), Sampler(Slots(tmp_path / "run"))
    evaluator.tick(0.0, await sampler())
    for number in range(100):
        signals.request("notes.add", 2.0, "INTERNAL_SERVER_ERROR" if number % 10 == 0 else None)
    changes = evaluator.tick(15.0, await sampler())
    assert {(change.alert, change.to) for change in changes} == {
        ("HighErrorRate", "firing"), ("HighLatencyP95", "firing"), ("LatencyElevated", "firing"),
    }  # fmt: skip
    slots.close()


async def test_buckets_are_cumulative_and_named_as_prometheus_names_them(tmp_path: Path):
    slots = Slots(tmp_path / "run")
    signals = Signals({"notes.add": "mutation"}, slots.claim())
    signals.request("notes.add", 0.3, None)
    seen = await Sampler(Slots(tmp_path / "run"))()
    assert seen is not None
    bucket = {
        dict(s.labels)["le"]: v
        for s, v in seen.items()
        if s.metric.endswith("_bucket") and dict(s.labels)["procedure"] == "notes.add"
    }
    # Those that rules ask about, and no others.
    assert bucket == {"0.5": 1, "1": 1, "2.5": 1, "+Inf": 1}
    assert seen[Series.of("api_request_duration_seconds_count", {"procedure": "notes.add"})] == 1
    slots.close()


async def test_without_a_process_there_is_no_sample(tmp_path: Path):
    assert await Sampler(Slots(tmp_path / "run"))() == {}

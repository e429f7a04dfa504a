"""The two text formats, on all that a process can hold, with label values that mean harm."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from tenantry.ops.metrics import Slots, collect, summary, text, wants_open_metrics
from tenantry.signals import MOST_SERIES, Signals

HOSTILE = 'a"b\\c\nd%s{}#"é'


def full(folder: Path) -> Slots:
    slots = Slots(folder)
    signals = Signals({f"p.p{number}": "query" for number in range(900)}, slots.claim())
    for number in range(MOST_SERIES):
        signals.error("module", f"C{number}")
    for number in range(900):
        signals.request(f"p.p{number}", number / 100, None)
    assert len(signals.store.places()) == MOST_SERIES
    return slots


def test_two_thousand_series_are_scraped_quickly_and_parse(tmp_path: Path) -> None:
    slots = full(tmp_path / "run")
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        said = text(collect(slots), is_open=False)
        best = min(best, time.perf_counter() - began)
    assert best < 0.2, f"{best * 1000:.1f} ms; under 20 ms on a quiet machine"
    families = {family.name: family for family in plain_text(said)}
    assert len(families["api_requests_total" if "api_requests_total" in families else "api_requests"].samples) > 800
    assert len(list(open_metrics(text(collect(slots), is_open=True)))) > 10


def test_hostile_label_values_are_escaped_in_every_format(tmp_path: Path) -> None:
    slots = Slots(tmp_path / "run")
    signals = Signals({HOSTILE: "query"}, slots.claim())
    signals.know_tables([HOSTILE])
    signals.rls_violation(HOSTILE, "insert")
    signals.request(HOSTILE, 0.1, "NOT_FOUND")
    collected = collect(slots)
    for families in (plain_text(text(collected, is_open=False)), open_metrics(text(collected, is_open=True))):
        values = {value for family in families for sample in family.samples for value in sample.labels.values()}
        assert HOSTILE in values
    assert any(metric["labels"].get("table") == HOSTILE for metric in summary(collected).values())


def test_quantiles_lie_in_their_bucket_and_never_above_the_largest(tmp_path: Path) -> None:
    slots = Slots(tmp_path / "run")
    signals = Signals({"a.b": "query"}, slots.claim())
    for _ in range(99):
        signals.request("a.b", 0.004, None)
    signals.request("a.b", 3.0, None)
    stats = summary(collect(slots))['api_request_duration_seconds{procedure="a.b"}']["stats"]
    assert (stats["count"], stats["max"]) == (100, 3.0)
    assert 0 < stats["p50"] <= 0.004
    assert stats["p99"] <= 0.005
    assert stats["mean"] == pytest.approx(0.03396)


@pytest.mark.parametrize(
    ("accept", "is_open"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.9", False),
        ("application/openmetrics-text;q=rubbish", False),
    ],
)
def test_the_format_is_what_accept_prefers(accept: str, is_open: bool) -> None:
    assert wants_open_metrics(accept) is is_open

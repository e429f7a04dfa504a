"""The kit's cases, in process by the command and by real promtool over what the command exports; both must say the same."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tenantry.ops.alerts import export, limits, replay

KIT = Path(__file__).parent / "kit"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not here (Debian: prometheus)")


def tenantry(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tenantry.cli.main", *arguments], capture_output=True, text=True, timeout=60, cwd=home,
        env={**os.environ, "TENANTRY_HOME": str(home)},
    )  # fmt: skip


def test_every_case_gives_its_transitions(tmp_path: Path):
    told = tenantry("alerts", "replay", str(KIT / "cases.yaml"), home=tmp_path)
    assert told.returncode == 0, told.stdout
    assert len(told.stdout.splitlines()) == len(yaml.safe_load((KIT / "cases.yaml").read_text())["cases"])


def test_a_case_that_differs_is_shown_and_is_exit_1(tmp_path: Path):
    cases = tmp_path / "wrong.yaml"
    cases.write_text(
        "cases:\n- {name: wrong, series: [{metric: db_up, values: '0*6'}], transitions: [{t: 0, alert: DatabaseUnavailable, to: firing}]}\n"
    )
    told = tenantry("alerts", "replay", str(cases), home=tmp_path)
    assert told.returncode == 1
    assert told.stdout.splitlines() == [
        "wrong: differs",
        "  - 0 s  DatabaseUnavailable  firing",
        "  + 0 s  DatabaseUnavailable  pending",
        "  + 60 s  DatabaseUnavailable  firing",
    ]


@pytest.mark.parametrize("text", ["cases: [", "cases: 5", "cases: [{name: x}]", "cases: [{name: x, series: [{metric: db_up, values: '1**2'}], transitions: []}]"])  # fmt: skip
def test_a_faulty_file_is_words_and_a_code(tmp_path: Path, text: str):
    (tmp_path / "x.yaml").write_text(text)
    told = tenantry("alerts", "replay", "x.yaml", home=tmp_path)
    assert told.returncode == 1
    assert told.stderr.startswith("CASES_FAULTY x.yaml cannot be replayed")


def test_the_exported_rules_and_routes_are_the_kits(tmp_path: Path):
    for what, file in (("prometheus", "rules.yaml"), ("alertmanager", "alertmanager.yml")):
        printed = tenantry("alerts", "export", what, home=tmp_path)
        assert yaml.safe_load(printed.stdout) == yaml.safe_load((KIT / file).read_text())


def promtool(folder: Path, rules: dict[str, object], tests: Path) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    if tests.parent != folder:
        shutil.copy(tests, folder / tests.name)
    return subprocess.run(
        [PROMTOOL, "test", "rules", tests.name], cwd=folder, capture_output=True, text=True, timeout=120
    )


@needs_promtool
@pytest.mark.parametrize("file", ["cases.test.yaml", "labels.test.yaml"])
def test_promtool_says_the_same_of_the_exported_rules(tmp_path: Path, file: str):
    told = promtool(tmp_path, export.prometheus(limits.defaults()), KIT / file)
    assert told.returncode == 0, told.stdout + told.stderr


@needs_promtool
def test_a_threshold_that_is_set_reaches_the_watcher_and_the_export(tmp_path: Path):
    assert tenantry("alerts", "set", "HighErrorRate.ratio=0.02", "memoryhigh.ratio=0.9", home=tmp_path).returncode == 0
    found, faults = limits.load(tmp_path)
    assert (found["HighErrorRate"]["ratio"], found["MemoryHigh"]["ratio"], faults) == (0.02, 0.9, [])
    exported = tenantry("alerts", "export", "prometheus", home=tmp_path).stdout
    assert "> 0.02" in exported
    assert "Error rate above 2 % over 5 minutes" in exported
    (tmp_path / "r.yaml").write_text(exported)
    assert PROMTOOL is not None
    assert subprocess.run([PROMTOOL, "check", "rules", "r.yaml"], cwd=tmp_path, capture_output=True).returncode == 0
    tenantry("alerts", "set", "HighErrorRate.ratio=", home=tmp_path)
    assert limits.load(tmp_path)[0]["HighErrorRate"]["ratio"] == 0.05


@pytest.mark.parametrize("given", ["Nothing.ratio=1", "HighErrorRate.share=1", "HighErrorRate.ratio=2", "HighErrorRate.ratio=nan", "x"])  # fmt: skip
def test_a_faulty_threshold_changes_nothing(tmp_path: Path, given: str):
    told = tenantry("alerts", "set", "MemoryHigh.ratio=0.7", given, home=tmp_path)
    assert told.returncode == 1
    assert "THRESHOLD_FAULTY" in told.stderr
    assert not limits.path_in(tmp_path).exists()


def test_a_broken_file_of_thresholds_silences_nothing(tmp_path: Path):
    limits.path_in(tmp_path).write_text('{"HighErrorRate.ratio": 7, "MemoryHigh.ratio": 0.7}')
    found, faults = limits.load(tmp_path)
    assert found["HighErrorRate"]["ratio"] == 0.05
    assert found["MemoryHigh"]["ratio"] == 0.7
    assert len(faults) == 1


# ------------------------------------------------------------------ invented stories, through both


def invented(seed: int) -> replay.Case:
    """Gauges that wander over their thresholds, with samples missed, and counters that rise in bursts and restart."""
    chance = random.Random(seed)

    def walk(choices: list[str], missed: float = 0.0) -> str:
        tokens: list[str] = []
        while len(tokens) < 12:
            if tokens and chance.random() < missed:
                # Some gaps are as long as a last value is good for; some series end, and come back or not.
                tokens.append(chance.choice(["_", "_*3", "_*19", "_*20", "_*21", "S"]))
            else:
                tokens.append(f"{chance.choice(choices)}*{chance.randint(1, 6)}")
        return " ".join(tokens)

    # Values that are exact in every unit, and rates that the extrapolation of PromQL leaves on the same side of a threshold.
    series = [
        replay.Samples("health_check_consecutive_failures", walk(["0", "2", "3", "4", "5"], 0.1)),
        replay.Samples("health_status", walk(["0", "1", "2"], 0.1)),
        replay.Samples("db_up", walk(["1", "1", "0"], 0.1)),
        replay.Samples("db_response_time_ms", walk(["5", "100", "101", "400"])),
        replay.Samples("db_pool_utilization_ratio", walk(["0.2", "0.8", "0.9"]), {"instance": "a"}),
        replay.Samples("db_pool_utilization_ratio", walk(["0.1", "0.5", "0.95"], 0.1), {"instance": "b"}),
        replay.Samples("process_memory_utilization_ratio", walk(["0.5", "0.81"])),
        replay.Samples("rls_violations_total", "0 " + walk(["+0", "+0", "+40"]) + " +0*60"),
        replay.Samples("api_requests_total", "0 +100*90"),
        replay.Samples("api_request_errors_total", "0 " + walk(["+0", "+0", "+90"]) + " +0*60", {"kind": "server"}),
    ]
    return replay.Case(f"invented-{seed}", series, [])


def spelled(values: str) -> str:
    return " ".join(
        {None: "_", "S": "stale"}.get(v, v if isinstance(v, str) else repr(v)) for v in replay.expand(values)
    )  # type: ignore[arg-type]


def as_unit_test(case: replay.Case, transitions: list[replay.Expected], steps: int) -> dict[str, object]:
    """A case for promtool: after each evaluation exactly these alerts are alive, in exactly these states."""
    states: dict[str, str] = {}
    checks: list[dict[str, object]] = []
    for step in range(steps):
        at = step * 15.0
        states.update({e.alert: e.to for e in transitions if e.t == at})
        alive = {name: state for name, state in states.items() if state != "inactive"}
        samples = [
            {"labels": f'{{alertname="{name}",alertstate="{state}"}}', "value": 1} for name, state in alive.items()
        ]
        ask = 'count by (alertname, alertstate) (ALERTS{alertname!="Watchdog"})'
        checks.append({"expr": ask, "eval_time": f"{at:.0f}s", "exp_samples": samples})
    inputs: list[dict[str, str]] = []
    for series in case.series:
        labels = ",".join(f'{k}="{v}"' for k, v in {"job": "platform-api", **series.labels}.items())
        inputs.append({"series": f"{series.metric}{{{labels}}}", "values": spelled(series.values)})
    return {"name": case.name, "interval": "15s", "input_series": inputs, "promql_expr_test": checks}


def longest(case: replay.Case) -> int:
    """How many evaluations a case has."""
    if case.until is not None:
        return int(case.until / 15) + 1
    return max(len(list(replay.expand(series.values))) for series in case.series)


def through_promtool(folder: Path, tests: list[dict[str, object]]) -> None:
    file = folder / "written.test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "15s", "tests": tests}))
    told = promtool(folder, export.prometheus(limits.defaults()), file)
    assert told.returncode == 0, told.stdout + told.stderr


@needs_promtool
def test_invented_stories_go_the_same_way_through_both(tmp_path: Path):
    cases = [invented(seed) for seed in range(12)]
    through_promtool(
        tmp_path,
        [as_unit_test(case, replay.run(case, 15.0, "invented").unexpected, min(60, longest(case))) for case in cases],
    )


MORE = Path(__file__).with_name("more_cases.yaml")


def test_further_cases_give_their_transitions(tmp_path: Path):
    told = tenantry("alerts", "replay", str(MORE), home=tmp_path)
    assert told.returncode == 0, told.stdout


@needs_promtool
def test_promtool_says_the_same_of_the_further_cases(tmp_path: Path):
    tests: list[dict[str, object]] = []
    for case in replay.read(MORE.read_text(), "more").cases:
        tests.append(as_unit_test(case, case.transitions, longest(case)))
    through_promtool(tmp_path, tests)

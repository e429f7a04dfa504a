"""The kit's cases, in process by the command and by real promtool over what the command exports; both must say the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tenantry.ops.alerts import export, limits, replay
from tests.ops.alerts.stories import PROMTOOL, as_unit_test, longest, promtool, through_promtool

KIT = Path(__file__).parent / "kit"
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


FURTHER = [Path(__file__).with_name(name) for name in ("more_cases.yaml", "edge_cases.yaml")]


@pytest.mark.parametrize("file", FURTHER, ids=lambda file: file.stem)
@pytest.mark.parametrize("how", [[], ["--prometheus"]], ids=["as the watcher counts", "as Prometheus does"])
def test_further_cases_give_their_transitions(tmp_path: Path, file: Path, how: list[str]):
    told = tenantry("alerts", "replay", *how, str(file), home=tmp_path)
    assert told.returncode == 0, told.stdout


@needs_promtool
@pytest.mark.parametrize("file", FURTHER, ids=lambda file: file.stem)
def test_promtool_says_the_same_of_the_further_cases(tmp_path: Path, file: Path):
    tests: list[dict[str, object]] = []
    for case in replay.read(file.read_text(), "more").cases:
        tests.append(as_unit_test(case, case.transitions, longest(case)))
    through_promtool(tmp_path, tests)

"""Invented stories in the kit's form, and the way of any story through promtool, which looks at every alert at every tick."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import yaml

from tenantry.ops.alerts import export, limits, replay

PROMTOOL = shutil.which("promtool")
WHOLE = ("+0", "+1", "+5", "+20", "+100")
GAPS = ("_", "_*2", "_*3", "_*4", "_*19", "_*20", "_*21", "S", "S _*2")
BOUNDS = ("0.1", "0.5", "1", "2.5", "+Inf")


class Author:
    """Makes a story of a seed. `has_gaps` lets counters miss samples, end, begin late and begin with a count."""

    def __init__(self, seed: int, *, has_gaps: bool) -> None:
        self.seed = seed
        self.has_gaps = has_gaps
        self.chance = random.Random(f"{seed}/{has_gaps}")

    def story(self) -> replay.Case:
        """Gauges that wander over their thresholds, counters that rise in bursts and restart, one to three workers."""
        say = self.chance.choice
        samples = replay.Samples
        series = [
            samples("health_check_consecutive_failures", self.walk(["0", "2", "3", "4", "5"], 0.15)),
            samples("health_status", self.walk(["0", "1", "2"], 0.15)),
            samples("db_up", self.walk(["1", "1", "0"], 0.15)),
            samples("db_response_time_ms", self.walk(["5", "100", "100.5", "101", "400"], 0.1)),
        ]
        for instance in "abc"[: self.chance.randint(1, 3)]:
            labels = {"instance": instance}
            series += [
                samples("db_pool_utilization_ratio", self.walk(["0.2", "0.8", "0.81", "0.95"], 0.15), labels),
                samples("process_memory_utilization_ratio", self.walk(["0.5", "0.8", "0.81"], 0.1), labels),
            ]
        series += [
            samples(
                "rls_violations_total", self.counter(["+0", "+0", "+1", "+2", "+3", "+10", "+11"]), {"table": table}
            )
            for table in ("notes", "users")[: self.chance.randint(1, 2)]
        ]
        pace = say([["+0", "+1"], ["+1", "+2", "+0"], ["+100"], ["+100", "+0", "+20"]])
        failing = say([["+0"], ["+0", "+0", "+1"], ["+0", "+5", "+6"], ["+0", "+0", "+90"], ["+1"]])
        for procedure in ("a", "b")[: self.chance.randint(1, 2)]:
            series.append(samples("api_requests_total", self.counter(pace), {"procedure": procedure}))
            for kind in ("server", "client")[: self.chance.randint(0, 2)]:
                labels = {"procedure": procedure, "kind": kind}
                series.append(samples("api_request_errors_total", self.counter(failing), labels))
        return replay.Case(f"story-{self.seed}", series + self.histogram(), [])

    def walk(self, choices: Sequence[str], missed: float = 0.0) -> str:
        """A gauge."""
        tokens: list[str] = []
        while len(tokens) < 12:
            if tokens and self.chance.random() < missed:
                tokens.append(self.chance.choice(GAPS))
            else:
                tokens.append(f"{self.chance.choice(choices)}*{self.chance.randint(1, 6)}")
        return " ".join(tokens)

    def counter(self, rises: Sequence[str]) -> str:
        """A counter that restarts now and then, from 0 or from a few."""
        tokens = ["0"]
        if self.has_gaps:
            tokens = [f"_*{n}" for n in [self.chance.choice([0, 0, 3, 30])] if n] + [
                self.chance.choice(["0", "0", "7"])
            ]
        while len(tokens) < 14:
            dice = self.chance.random()
            if dice < 0.1:
                tokens.append(self.chance.choice(["0", "0", "3"]))
            elif self.has_gaps and dice < 0.25:
                tokens.append(self.chance.choice(GAPS))
            else:
                tokens.append(f"{self.chance.choice(rises)}*{self.chance.randint(1, 8)}")
        return " ".join(tokens) + ("" if self.has_gaps else " +0*90")

    def histogram(self) -> list[replay.Samples]:
        """Cumulative buckets that are cumulative, and their count; without gaps, or with those of a scrape that failed."""
        counts = [0] * len(BOUNDS)
        columns: list[list[str]] = [[] if self.has_gaps else ["0"] for _ in BOUNDS]
        while len(columns[0]) < 70:
            if self.has_gaps and columns[0] and self.chance.random() < 0.1:
                gap = self.chance.choice([["_"], ["_"] * 3, ["_"] * 20, ["S"]])
                columns = [column + gap for column in columns]
                continue
            if self.chance.random() < 0.05:
                counts = [0] * len(BOUNDS)
            slow = self.chance.choice([0, 0, 1, 5, 6, 10])
            for _ in range(self.chance.randint(1, 8)):
                of_all = self.chance.choice([0, 1, 20, 100])
                shares = (of_all // 2, of_all - 2 * slow, of_all - slow, of_all - slow // 2, of_all)
                counts = [count + max(0, rise) for count, rise in zip(counts, shares, strict=True)]
                for column, count in zip(columns, counts, strict=True):
                    column.append(str(count))
        texts = [" ".join(column) for column in columns]
        found = [
            replay.Samples("api_request_duration_seconds_bucket", text, {"le": bound})
            for bound, text in zip(BOUNDS, texts, strict=True)
        ]
        return [*found, replay.Samples("api_request_duration_seconds_count", texts[-1])]


def spelled(values: str) -> str:
    """The short notation as promtool's."""
    words: list[str] = []
    for value in replay.expand(values):
        words.append("_" if value is None else "stale" if value == "S" else repr(value))
    return " ".join(words)


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


def promtool(folder: Path, rules: dict[str, object], tests: Path) -> subprocess.CompletedProcess[str]:
    """`promtool test rules` over these rules."""
    assert PROMTOOL is not None
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    if tests.parent != folder:
        shutil.copy(tests, folder / tests.name)
    return subprocess.run(
        [PROMTOOL, "test", "rules", tests.name], cwd=folder, capture_output=True, text=True, timeout=300
    )


def through_promtool(folder: Path, tests: list[dict[str, object]]) -> None:
    """These unit tests hold for the rules as they are exported."""
    file = folder / "written.test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "15s", "tests": tests}))
    told = promtool(folder, export.prometheus(limits.defaults()), file)
    assert told.returncode == 0, told.stdout + told.stderr

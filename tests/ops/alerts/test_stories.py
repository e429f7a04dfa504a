"""Invented stories, in process and through promtool: each alert's state at each tick. Where the two reckon differently is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenantry.ops.alerts import promql, replay
from tests.ops.alerts.stories import PROMTOOL, Author, as_unit_test, longest, through_promtool

pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not here (Debian: prometheus)")
A_FEW, MANY, AT_ONCE = 15, 400, 20


def agree(folder: Path, seeds: range, *, has_gaps: bool, increase: promql.Increase) -> None:
    for first in range(seeds.start, seeds.stop, AT_ONCE):
        stories = [Author(seed, has_gaps=has_gaps).story() for seed in seeds if first <= seed < first + AT_ONCE]
        tests = [
            as_unit_test(story, replay.run(story, 15.0, "story", increase=increase).unexpected, longest(story))
            for story in stories
        ]
        through_promtool(folder, tests)


def test_the_watcher_and_prometheus_agree_where_counters_begin_at_0_and_miss_no_sample(tmp_path: Path):
    """Gauges miss samples, end and come back; counters restart. Ours do begin at 0 (docs/guides/alerts.md)."""
    agree(tmp_path, range(A_FEW), has_gaps=False, increase=promql.rises)


def test_what_prometheus_would_say_is_said_to_the_last_bit(tmp_path: Path):
    """`--prometheus`: counters that miss samples, end, come back, begin late and with a count."""
    agree(tmp_path, range(A_FEW), has_gaps=True, increase=promql.increase)


@pytest.mark.soak
def test_hundreds_of_stories_of_whole_counters(tmp_path: Path):
    agree(tmp_path, range(MANY), has_gaps=False, increase=promql.rises)


@pytest.mark.soak
def test_hundreds_of_stories_with_gaps(tmp_path: Path):
    agree(tmp_path, range(MANY), has_gaps=True, increase=promql.increase)


@pytest.mark.parametrize(
    ("metric", "values", "alert", "at", "why"),
    [
        (
            "rls_violations_total",
            "0*4 4 8 _*2 8*20",
            "RLSViolations",
            90,
            "eight and a missed sample at the end: 10.67",
        ),
        ("rls_violations_total", "6 12 12*20", "RLSViolations", 15, "six more than the six it began with: 12"),
    ],
)
def test_where_they_differ_the_watcher_counts_what_it_saw(
    tmp_path: Path, metric: str, values: str, alert: str, at: int, why: str
):
    case = replay.Case(why, [replay.Samples(metric, values)], [])
    assert replay.run(case, 15.0, "case").is_ok
    told = replay.run(case, 15.0, "case", increase=promql.increase).unexpected
    assert (told[0].t, told[0].alert, told[0].to) == (at, alert, "firing")
    through_promtool(tmp_path, [as_unit_test(case, told, longest(case))])

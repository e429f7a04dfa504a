"""`tenantry top`: the figures between two samplings, and the picture as text."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from tenantry.ops.incidents import Incident
from tenantry.ops.incidents.model import Part
from tenantry.ops.metrics import Collected, Slots, collect
from tenantry.ops.tenants import Noisiest
from tenantry.ops.top import Statement, Tops, View, view
from tenantry.ops.top.picture import curve, draw
from tenantry.signals import Signals

GOLDEN = Path(__file__).parent / "golden"


def two_looks(tmp_path: Path) -> tuple[Collected, Collected]:
    slots = Slots(tmp_path / "run")
    signals = Signals({"notes.recent": "query", "notes.add": "mutation"}, slots.claim())
    reader = Slots(tmp_path / "run")
    signals.request("notes.recent", 0.003, None)
    before = collect(reader)
    for number in range(1000):
        signals.request("notes.recent", 0.003, None)
        if number % 10 == 0:
            signals.request("notes.add", 0.8, "INTERNAL_SERVER_ERROR" if number % 100 == 0 else None)
    after = collect(reader)
    slots.close()
    return before, after


def example(tmp_path: Path) -> View:
    before, after = two_looks(tmp_path)
    incident = Incident("inc-1a2b3c4d", "alerts", "critical", "platform-api", "critical", 0.0)
    incident.alerts["HighErrorRate"] = Part(0.0, "performance-degradation", "")
    seen = view(
        before, after, 2.0, after.started + 4000, service="platform-api", firing=["HighErrorRate", "MemoryHigh"],
        incidents=[incident], statements=[Statement("select id,\n  body from notes", 1204, 0.41, 493.6)],
        noisiest=[
            Noisiest("0199c3a5-5d5e-7a52-a6a5-0f4d6a1b2c3d", 812.0, 40.0, 4.31), Noisiest("(not known yet)", 2.0, 0.0, 0.01)
        ],
    )  # fmt: skip
    known = {"status": "degraded", "database_ms": 3.2, "pool_active": 7.0, "pool_size": 10.0, "pool_waiting": 2.0, "memory_share": 0.83, "lag_ms": 1.1, "cpu": 0.62}  # fmt: skip
    return View(**{**{name: getattr(seen, name) for name in View.__struct_fields__}, **known})


def test_rates_shares_and_quantiles_are_those_of_the_interval(tmp_path: Path):
    seen = example(tmp_path)
    assert seen.rate == pytest.approx(550)
    assert seen.error_share == pytest.approx(10 / 1100)
    assert seen.server_errors == pytest.approx(5)
    assert 750 < seen.p99_ms <= 1000
    assert [procedure.path for procedure in seen.procedures] == ["notes.add", "notes.recent"]


def test_the_picture_is_the_one_that_was_looked_at(tmp_path: Path):
    tops = Tops()
    seen = example(tmp_path)
    for rate in (0.0, 120.0, 380.0, 410.0, 550.0):
        tops.rates.append(rate)
        tops.p95s.append(rate)
    console = Console(width=100, file=io.StringIO(), force_terminal=False, color_system=None, record=True)
    console.print(draw(seen, tops, width=100))
    text = console.export_text()
    golden = GOLDEN / "top.txt"
    if "GOLDEN" in os.environ:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def test_a_narrow_terminal_and_nothing_known_are_drawn_as_well():
    seen = view(Collected([], 0.0), Collected([], 0.0), 1.0, 0.0, service="s")
    console = Console(width=40, file=io.StringIO())
    console.print(draw(seen, Tops(), width=40))


@pytest.mark.parametrize(("values", "bars"), [([], "     "), ([0, 0], "   ▁▁"), ([1, 2, 4], "  ▃▅█"), ([9] * 9, "█████")])  # fmt: skip
def test_a_curve_is_scaled_to_its_largest(values: list[float], bars: str):
    assert curve(values, 5) == bars

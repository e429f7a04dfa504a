"""What the guide shows of a page and of an incident is what they show."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenantry.cli.main import main
from tenantry.ops.alerts import RULES, Verdict
from tenantry.ops.incidents import Desk, Entry, Notice
from tenantry.ops.incidents.book import Book, Memory
from tenantry.ops.incidents.steady import Steady

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "alerts.md"
NIGHT = 1_795_572_012.0
CAUSE = "PostgreSQL is stopped -> systemctl start postgresql"


def night() -> tuple[Desk, list[Notice]]:
    desk = Desk(RULES, service="platform-api", new_id=lambda: "inc-1a2b3c4d")
    firing = {"DatabaseUnavailable": Verdict("firing", value=0.0)}
    told: list[Notice] = []
    for second in range(11):
        told += desk.tick(NIGHT + second, firing)
        if second == 6:
            desk.incidents["inc-1a2b3c4d"].timeline.append(Entry(NIGHT + second, "doctor", "cause", CAUSE))
    desk.acknowledge("inc-1a2b3c4d", "ann", NIGHT + 95)
    desk.note("inc-1a2b3c4d", "ann", "started it again", NIGHT + 170)
    return desk, told


def test_the_guides_page_is_the_one_that_is_sent():
    page = night()[1][0]
    block = "```text\n" + page.title + "\n" + page.body + "\n```"
    assert block in GUIDE.read_text(), block


def test_the_guides_incident_is_the_one_that_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("TENANTRY_HOME", str(tmp_path))
    Book(tmp_path).write(Memory(Steady().base, NIGHT, incidents=list(night()[0].incidents.values())))
    assert main(["incident", "show", "inc-1a2b3c4d"]) == 0
    block = "```text\n$ tenantry incident show inc-1a2b3c4d\n" + capsys.readouterr().out + "```"
    assert block in GUIDE.read_text(), block

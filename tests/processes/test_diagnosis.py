"""The watcher's doctor: an incident gets its cause and the remedy's command by itself, once; nothing of it is in the watcher's way."""

from __future__ import annotations

import os
import signal

import msgspec
import psutil

from tenantry.ops.alerts import RULES
from tenantry.ops.incidents import Pace
from tenantry.ops.incidents.book import Book
from tenantry.ops.incidents.messages import write
from tenantry.ops.incidents.model import Entry, Incident
from tenantry.processes.diagnosis import Report, causes, kinds, wanted
from tests.conftest import Database
from tests.processes.place import placed


def report(*findings: dict[str, object]) -> Report:
    return msgspec.convert({"findings": list(findings)}, Report)


POLICY = {
    "says": "A policy is missing: users.",
    "confidence": "certain",
    "kind": "rls_breach",
    "remedy": {"command": "tenantry db push"},
}
SLOW = {
    "says": "pid 5 runs: select * from notes where body = 'their words'",
    "confidence": "likely",
    "remedy": {"command": "select tenantry.cancel(5);"},
}
FOLLOWS = {"says": "It follows.", "confidence": "certain", "is_explained": True}
MAYBE = {"says": "Perhaps.", "confidence": "possible"}


def test_the_causes_stand_with_their_remedies_and_without_literals():
    assert causes(report(POLICY, FOLLOWS, SLOW, MAYBE)) == [
        "A policy is missing: users. -> tenantry db push",
        "pid 5 runs: select * from notes where body = '…' -> select tenantry.cancel(5);",
    ]
    assert causes(report(*[POLICY] * 9)) == ["A policy is missing: users. -> tenantry db push"] * 3
    assert kinds(report(POLICY, {**SLOW, "kind": "corruption"})) == {"rls_breach": "A policy is missing: users."}


def incident(id_: str, *entries: Entry) -> Incident:
    return Incident(id_, "alerts", "critical", "api", "critical", 1.0, timeline=list(entries))


def test_an_incident_is_looked_for_once():
    told, old = incident("told", Entry(2.0, "ann", "cause", "a disk")), incident("old")
    over = incident("over")
    over.resolved_at = 3.0
    assert [one.id for one in wanted([incident("new"), told, old, over], {"old"})] == ["new"]


def test_a_page_says_what_the_doctor_found():
    one = incident("inc-1", Entry(2.0, "doctor", "cause", "PostgreSQL does not run. -> tenantry db start"))
    _, body = write(one, "opened", {rule.name: rule for rule in RULES}, 10.0, Pace())
    assert "Cause, says doctor: PostgreSQL does not run. -> tenantry db start" in body


def test_an_incident_gets_its_cause_by_itself(database: Database):
    with placed(database, TENANTRY_TICK="1") as place:
        place.serve()
        database.admin.execute("drop policy tenantry_select on public.users")
        book = Book(place.folder / "home")

        def told() -> list[Entry]:
            memory = book.read()
            return [] if memory is None else [e for i in memory.incidents for e in i.timeline if e.what == "cause"]

        place.until(lambda: bool(told()), 120)
        assert all(entry.by == "doctor" for entry in told())
        assert any("policy" in entry.text and "tenantry db push" in entry.text for entry in told())


def test_the_status_names_the_watcher_that_lives(database: Database):
    with placed(database) as place:
        place.serve()
        place.until(lambda: place.status().get("watcher") is not None)
        first = place.status()["watcher"]
        os.kill(first, signal.SIGKILL)
        place.until(lambda: place.status().get("watcher") not in (None, first), 60)
        assert psutil.pid_exists(place.status()["watcher"])

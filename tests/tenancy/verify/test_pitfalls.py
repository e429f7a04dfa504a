"""Each pitfall is found, and its remedy, pasted as it is printed, makes it go away. On a database that is whole nothing is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tenantry.tenancy.verify import CHECKS, Finding, look
from tenantry.tenancy.verify.families import server
from tests.conftest import Cluster, Database
from tests.tenancy.verify.pitfalls import PITFALLS, TABLES, Pitfall

ON_15 = {"V01", "V03", "V04", "V05", "V07", "V08", "V11", "V15", "V18", "V21", "V34", "V35", "V41", "V45"}
JUDGED_PURE = {"V30", "V31", "V44"}
"""What no transaction can plant: a server-wide value, another minor version, a replication slot."""


@pytest.fixture(scope="module", params=["18", "15"])
def planted_on(request: pytest.FixtureRequest) -> Iterator[tuple[str, Database]]:
    cluster: Cluster = request.getfixturevalue(f"cluster{request.param}")
    with cluster.database() as database:
        database.admin.execute(TABLES)
        yield request.param, database


def seen(database: Database) -> dict[tuple[str, str], Finding]:
    return {(one.check, one.object): one for one in look(database.admin)[1].findings}


def test_on_a_database_that_is_whole_nothing_is_found(planted_on: tuple[str, Database]) -> None:
    assert seen(planted_on[1]) == {}


@pytest.mark.parametrize("pitfall", PITFALLS, ids=lambda one: f"{one.check} {one.plant.strip()[:60]}")
def test_a_pitfall_is_found_and_its_remedy_mends_it(planted_on: tuple[str, Database], pitfall: Pitfall) -> None:
    version, database = planted_on
    if version == "15" and pitfall.check not in ON_15:
        pytest.skip("the same on 18")
    name = database.value("select current_database()")
    wanted = (pitfall.check, pitfall.object.replace("postgres_database", name))
    with database.admin.transaction(force_rollback=True):
        if (
            pitfall.check == "V23"
            and database.value("select 1 from pg_available_extensions where name = 'dblink'") is None
        ):
            pytest.skip("this server has no dblink")
        database.admin.execute(pitfall.plant)
        found = seen(database)
        assert wanted in found, sorted(found)
        assert found[wanted].remedy.strip()
        database.admin.execute(found[wanted].remedy)
        left = seen(database)
        assert wanted not in left, left[wanted]
        # What a remedy touches stays whole: it opens nothing else.
        assert {key for key in left if key not in found} == set()


def test_every_check_has_a_fixture() -> None:
    assert {one.check for one in PITFALLS} | JUDGED_PURE == set(CHECKS)


@pytest.mark.parametrize(
    ("version", "is_fixed"),
    [
        (150013, False),
        (150014, True),
        (160009, False),
        (160010, True),
        (170005, False),
        (170006, True),
        (180000, True),
        (140020, False),
    ],
)
def test_a_server_that_lacks_fixes_is_told_from_one_that_has_them(version: int, is_fixed: bool) -> None:
    assert server.is_fixed(version) is is_fixed


@pytest.mark.parametrize(
    ("check", "kind", "name"),
    [("V30", "vault value", "abc"), ("V31", "version", "150001"), ("V44", "replication slot", "s")],
)
def test_what_a_transaction_cannot_plant_is_judged_from_values(
    planted_on: tuple[str, Database], check: str, kind: str, name: str
) -> None:
    facts, _ = look(planted_on[1].admin)
    from tenantry.tenancy.verify.facts import Thing

    others = [one for one in facts.server if one.kind != kind]
    worse = msgspec.structs.replace(facts, server=[*others, Thing(kind, name, "x")])
    assert [one.check for one in server.judge(worse)] == [check]
    assert [one.check for one in server.judge(facts)] == []


def test_the_page_lists_every_check() -> None:
    page = (Path(__file__).parents[3] / "docs" / "guides" / "verify.md").read_text("utf-8")
    for number, check in CHECKS.items():
        assert f"| {number} | {check.name} | {check.level} | {check.gain} |" in page

"""SQL that an attacker injects as platform, inside a tenant of their own: no event of others is read, forged, lost or counted."""

from __future__ import annotations

import psycopg
import pytest

from tests.conftest import Cluster, Database, People
from tests.events.conftest import listen, make, say
from tests.harness import Client, opened


@pytest.fixture(params=["18", "15"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return request.getfixturevalue(f"cluster{request.param}")


def attack(database: Database, token: str | None, statement: str) -> object:
    """What one injected statement gets, or the SQLSTATE that refuses it."""
    with psycopg.connect(database.urls.platform.reveal()) as connection:
        try:
            if token is not None:
                connection.execute("select tenantry.enter(%s)", (token.encode(),))
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else cursor.rowcount
        except psycopg.Error as error:
            return error.sqlstate


PUT = "select tenantry.put_events(%s, array['talk.said'], array['\"secret\"'])"

REFUSED = {
    "write the table": "insert into tenantry.events (tenant_id, topic, place, at, n, slot, value)"
    " values (public.get_current_tenant_id(), 'talk.said', 1, now(), 1, 0, '1')",
    "write for another": "select tenantry.put_events((select id from tenantry.tenants limit 1), array['x'], array['1'])",
    "write for a guessed one": "select tenantry.put_events(gen_random_uuid(), array['x'], array['1'])",
    "change": "update tenantry.events set value = '0'",
    "delete": "delete from tenantry.events",
    "empty": "truncate tenantry.events",
    "a slot by itself": "select * from tenantry.events_0",
    "empty a slot": "truncate tenantry.events_0",
    "the salt": "select salt from tenantry.event_ring",
    "the salt by its function": "select tenantry.event_salt()",
    "who moved": "select * from tenantry.moved_events(0, 1000)",
    "turn the ring": "select tenantry.keep_events(interval '1 minute', 1048576)",
    "stop the ring": "update tenantry.event_ring set slot = 3",
    "sessions": "select * from tenantry.live_sessions(array[]::bytea[], array[]::uuid[])",
    "a signal": "select pg_notify('tenantry_events', '00')",
    "the trigger's function": "select tenantry.publish_users_changed()",
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused(database: Database, people: People, what: str) -> None:
    database.value("select tenantry.put_events($1, array['talk.said'], array['\"secret\"'])", people.globex.id)
    assert attack(database, people.acme.owner.token, REFUSED[what]) in ("42501", "0A000")
    assert database.value("select count(*) from tenantry.events where topic = 'talk.said'") == 1


def test_only_the_own_tenants_events_are_there_whatever_is_asked(database: Database, people: People) -> None:
    for tenant in (people.acme, people.globex):
        database.value("select tenantry.put_events($1, array['talk.said'], array['\"x\"'])", tenant.id)
    seen = "select tenant_id from tenantry.events where topic = 'talk.said' or true"
    owns = {tenant for (tenant,) in attack(database, people.acme.owner.token, seen)}  # pyright: ignore
    assert owns == {people.acme.id}
    assert attack(database, None, seen) == []
    # The guard's part in it: without row security the same statement sees all.
    database.admin.execute("alter table tenantry.events disable row level security")
    owns = {tenant for (tenant,) in attack(database, people.acme.owner.token, seen)}  # pyright: ignore
    assert owns == {people.acme.id, people.globex.id}
    assert database.admin.execute("select check_id from tenantry.defects()").fetchall() != []


def test_no_sequence_counts_the_events_of_all(database: Database, people: People) -> None:
    """No sequence stands behind the table, and `n` counts within one call: between two of one's own nothing tells how many others there were."""
    sequences = "select count(*) from pg_class where relkind = 'S' and relnamespace = 'tenantry'::regnamespace"
    assert database.value(sequences + " and relname like '%event%'") == 0
    database.value(
        "select tenantry.put_events($1, array_fill('t'::text, array[50]), array_fill('1'::text, array[50]))",
        people.globex.id,
    )
    for _ in range(2):
        database.value("select tenantry.put_events($1, array['t'], array['1'])", people.acme.id)
    rows = attack(database, people.acme.owner.token, "select n from tenantry.events where topic = 't'")
    assert rows == [(1,), (1,)]


def test_outside_of_a_tenant_nothing_is_published(database: Database, people: People) -> None:
    assert attack(database, None, "select tenantry.publish(array['x'], array['1'])") == "TN403"
    assert attack(database, None, "select tenantry.publish('x', '1')") == "TN403"


def test_what_is_published_is_bounded_in_the_database_as_well(database: Database, people: People) -> None:
    big = "repeat('x', 1048577)"
    for topic, content in (
        ("'no topic'", "'1'"),
        ("''", "'1'"),
        ("repeat('t', 201)", "'1'"),
        ("null::text", "'1'"),
        ("'t'", big),
    ):
        for given in (f"array[{topic}], array[{content}]", f"{topic}, {content}"):
            assert attack(database, people.acme.owner.token, f"select tenantry.publish({given})") == "23514"
    assert attack(database, people.acme.owner.token, "select tenantry.publish('t', null)") == "23502"
    for given in ("'t', '1'", f"repeat('t', 200), {big[:-1].replace('1048577', '1048576')})", "array['t'], array['1']"):
        assert attack(database, people.acme.owner.token, f"select tenantry.publish({given})") == [(1,)]


async def test_forged_signals_change_nothing(database: Database, people: People) -> None:
    async with opened(make(), database) as app:
        ear = await listen(app, people.acme.member.token)
        with psycopg.connect(database.urls.auth.reveal(), autocommit=True) as forger:
            for payload in ("", "zz", "00", "0" * 7998, "!", "?", "-", "é", "0011223344556677"):
                forger.execute("select pg_notify('tenantry_events', %s)", (payload,))
        await say(Client(app, people.acme.owner.token), "1")
        assert await ear.until(1) == ["1"]
        await ear.stop()

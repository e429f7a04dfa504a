"""The audit trail's seal: a line that was changed, added or taken away behind its back is found."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tenantry.cli.main import main
from tests.auth.browser import Browser, signing_in
from tests.auth.test_members import join, owner_of
from tests.conftest import Database


@pytest.fixture
def told(database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs a command on this database: exit code and JSON."""
    monkeypatch.setenv("DATABASE_URL", database.urls.platform.reveal())
    monkeypatch.setenv("DATABASE_ADMIN_URL", database.superuser.reveal())
    monkeypatch.setenv("TENANTRY_ENV", "development")

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        return main(arguments), capsys.readouterr().out

    return run


async def lines(database: Database, outbox: Path) -> None:
    """Some lines, an hour old, and sealed in two batches."""
    async with signing_in(database, outbox) as app:
        for n in range(3):
            await Browser(app).sign_in_by_mail(f"p{n}@acme.example", outbox)
    change(database, "update audit_log set at = at - interval '1 hour'")
    assert database.value("select tenantry.audit_seal()") == 3
    database.value(
        "insert into audit_log (tenant_id, action, at)"
        " select gen_random_uuid(), 'late', max(until) + interval '1 ms' from tenantry.audit_seals returning id"
    )
    time.sleep(1.2)
    assert database.value("select tenantry.audit_seal()") == 1
    assert database.value("select tenantry.audit_seal()") == 0


def change(database: Database, text: str) -> None:
    """As somebody with all rights would, behind the trigger's back."""
    with psycopg.connect(database.superuser.reveal()) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(text.encode())


async def test_a_trail_that_nobody_touched_is_whole(database: Database, tmp_path: Path, told) -> None:
    await lines(database, tmp_path)
    code, out = told("audit", "verify", "--json")
    found = json.loads(out)
    assert (code, found["whole"], found["batches"], found["lines"]) == (0, True, 2, 4)
    assert told("audit", "verify", "--expect", found["last"]["hash"])[0] == 0
    assert told("audit", "verify", "--expect", "00" * 32)[0] == 1


@pytest.mark.parametrize(
    "attack",
    [
        "update audit_log set action = 'nothing' where action = 'sign_in' and id = (select id from audit_log order by at limit 1)",
        "delete from audit_log where id = (select id from audit_log order by at limit 1)",
        "insert into audit_log (tenant_id, action, at) select gen_random_uuid(), 'forged', min(at) from audit_log",
        "delete from tenantry.audit_seals where number = 1",
        "update tenantry.audit_seals set hash = sha256('x') where number = 1",
    ],
)
async def test_what_was_changed_behind_the_seal_is_found(database: Database, tmp_path: Path, told, attack: str) -> None:
    await lines(database, tmp_path)
    change(database, attack)
    assert told("audit", "verify")[0] == 1


async def test_a_line_of_a_transaction_that_still_runs_is_not_left_behind(database: Database, tmp_path: Path) -> None:
    await lines(database, tmp_path)
    with psycopg.connect(database.superuser.reveal()) as slow:
        slow.execute("insert into audit_log (tenant_id, action) values (gen_random_uuid(), 'slow')")
        database.value("insert into audit_log (tenant_id, action) values (gen_random_uuid(), 'quick') returning id")
        time.sleep(1.2)
        database.value("select tenantry.audit_seal()")
        assert database.value("select max(until) from tenantry.audit_seals") <= database.value("select now()")
    assert database.value("select bool_and(is_whole) from tenantry.audit_verify()") is True
    assert (
        database.value(
            "select at >= (select max(until) from tenantry.audit_seals) from audit_log where action = 'slow'"
        )
        is True
    )


async def test_retention_takes_whole_batches_and_the_rest_stays_provable(
    database: Database, tmp_path: Path, told
) -> None:
    await lines(database, tmp_path)
    assert told("audit", "prune", "--keep", "1 day")[0] == 1  # PostgreSQL refuses less than 30 days
    change(database, "update audit_log set at = at - interval '400 days' where action = 'sign_in'")
    change(database, "update tenantry.audit_seals set until = until - interval '400 days' where number = 1")
    change(
        database,
        "update tenantry.audit_seals s set hash = h.hash from tenantry.audit_hash('-infinity', (select until from tenantry.audit_seals where number = 1), '') h where number = 1",
    )
    change(
        database,
        "update tenantry.audit_seals s set hash = h.hash from tenantry.audit_hash((select until from tenantry.audit_seals where number = 1), (select until from tenantry.audit_seals where number = 2), (select hash from tenantry.audit_seals where number = 1)) h where number = 2",
    )
    assert told("audit", "verify")[0] == 0
    assert json.loads(told("audit", "prune", "--keep", "365 days", "--json")[1]) == {"lines": 3}
    assert told("audit", "verify")[0] == 0
    exported = [json.loads(line) for line in told("audit", "export")[1].splitlines()]
    assert [line["action"] for line in exported] == ["late", "audit_pruned"]


async def test_the_trail_is_searched_by_what_who_when_and_page_by_page(database: Database, tmp_path: Path) -> None:
    async with signing_in(database, tmp_path, tenant_sign_up="anyone") as app:
        ann = await owner_of(app, tmp_path, "acme")
        for n in range(5):
            await ann.call("invitations.create", {"email": f"p{n}@acme.example"}, mutation=True)
        bob = await join(app, tmp_path, ann, "bob@acme.example", "admin")
        await bob.call("invitations.create", {"email": "cat@acme.example"}, mutation=True)

        async def found(**narrowed: Any) -> list[str]:
            page = await ann.call("audit.list", narrowed)
            return [line["subject"] for line in page["items"] if line["action"] == "invite_created"]

        who = {u["email"]: u["id"] for u in (await ann.call("users.list"))["items"]}
        him = str(database.value("select identity_id from users where id = $1", who["bob@acme.example"]))
        assert await found(action="invite_created", identityId=him) == ["cat@acme.example"]
        assert await found(subject="p3@acme.example") == ["p3@acme.example"]
        middle = database.value("select at from audit_log where subject = 'p2@acme.example'").isoformat()
        assert await found(until=middle) == ["p1@acme.example", "p0@acme.example"]
        assert (await found(since=middle))[-1] == "p2@acme.example"
        assert await found(action="nothing") == []
        seen: list[str] = []
        after = None
        while True:
            page = await ann.call("audit.list", {"limit": 2, **({"after": after} if after else {})})
            seen += [line["id"] for line in page["items"]]
            after = page["nextCursor"]
            if after is None:
                break
        assert (
            len(seen)
            == len(set(seen))
            == database.value("select count(*) from audit_log where tenant_id = (select id from tenantry.tenants)")
        )


async def test_every_act_has_its_sender_whichever_way_it_came(database: Database, tmp_path: Path) -> None:
    async with signing_in(database, tmp_path, tenant_sign_up="anyone", trusted_proxies="10.0.0.0/8") as app:
        ann = await owner_of(app, tmp_path, "acme")
        bob = await join(app, tmp_path, ann, "bob@acme.example")
        ann.peer = "203.0.113.5"
        ann.headers["user-agent"] = "Acme's browser"
        me, him = (user["id"] for user in (await ann.call("users.list"))["items"])
        before = database.value("select now()")
        acts: list[tuple[str, dict[str, Any]]] = [
            ("users.update", {"id": him, "role": "admin"}), ("invitations.create", {"email": "eve@acme.example"}),
            ("apiKeys.create", {"name": "ci", "scopes": ["read"]}), ("members.endSessions", {"id": him}), ("sessions.revokeOthers", {}),
            ("members.transfer", {"id": him}), ("tenants.create", {"slug": "other", "name": "Other"}), ("tenants.switch", {"tenant": "acme"}),
        ]  # fmt: skip
        for path, input in acts:
            # What the sender says of itself counts for nothing.
            page = await ann.post_json(f"/trpc/{path}", input, {"x-forwarded-for": "198.51.100.1"})
            assert page.status == 200, (path, page.text)
            for line in page.cookies:
                ann.jar["authjs.session-token"] = line.partition("=")[2].partition(";")[0]
        found = database.admin.execute(
            "select action, host(ip), user_agent, request_id is not null from audit_log where at > $1 order by at",
            (before,),
        ).fetchall()
        assert len(found) == 9
        assert {row[1:] for row in found} == {("203.0.113.5", "Acme's browser", True)}
        ann.peer = "10.0.0.1"
        await ann.post_json("/trpc/members.leave", {}, {"x-forwarded-for": "6.6.6.6, 198.51.100.7"})
        assert database.value("select host(ip) from audit_log where action = 'member_left'") == "198.51.100.7"
        del bob, me

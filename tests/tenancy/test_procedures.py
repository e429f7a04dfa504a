"""`users.*` and `tenants.*` as a client meets them: who may do what, and that a refusal changes nothing."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from tenantry import Ctx, Statement, Tenantry
from tests.conftest import Database, People
from tests.harness import Client, opened


@pytest.fixture
async def app(database: Database):
    async with opened(Tenantry(), database) as app:
        yield app


async def everyone(client: Client) -> dict[str, dict[str, object]]:
    return {u["email"]: u for u in (await client.query("users.list", {"limit": 100})).data["items"]}


async def test_each_tenant_sees_only_its_own_people(app: Tenantry, people: People) -> None:
    acme = await everyone(Client(app, people.acme.owner.token))
    globex = await everyone(Client(app, people.globex.owner.token))
    assert acme
    assert globex
    assert not acme.keys() & globex.keys()


async def test_another_tenants_person_is_not_found_and_stays(app: Tenantry, people: People) -> None:
    ann, stranger = Client(app, people.acme.owner.token), str(people.globex.member.user_id)
    for reply in (
        await ann.query("users.get", {"id": stranger}),
        await ann.mutate("users.update", {"id": stranger, "name": "stolen"}),
        await ann.mutate("users.update", {"id": stranger, "role": "member"}),
        await ann.mutate("users.delete", {"id": stranger}),
    ):
        assert (reply.status, reply.code) == (404, "NOT_FOUND"), reply.json
    seen = await Client(app, people.globex.member.token).query("users.get", {"id": stranger})
    assert seen.data["name"] != "stolen"


@pytest.mark.parametrize("token", [None, "", "garbage", "tok_wrong", "a" * 4096, "é"])
async def test_without_a_live_session_the_answer_is_one_and_the_same(app: Tenantry, token: str | None) -> None:
    reply = await Client(app, token).query("users.list")
    assert (reply.status, reply.code, reply.error["message"]) == (
        401,
        "UNAUTHORIZED",
        "No active session - please sign in",
    )


async def test_a_member_renames_itself_and_nobody_else(app: Tenantry, people: People) -> None:
    member = Client(app, people.acme.member.token)
    own, other = str(people.acme.member.user_id), str(people.acme.owner.user_id)
    assert (await member.mutate("users.update", {"id": own, "name": "Mel"})).data["name"] == "Mel"
    refused = await member.mutate("users.update", {"id": other, "name": "Mel too"})
    assert refused.code == "FORBIDDEN"
    assert (await member.query("users.get", {"id": other})).data["name"] != "Mel too"


async def test_an_admin_renames_anyone(app: Tenantry, people: People) -> None:
    admin, owner = Client(app, people.acme.admin.token), str(people.acme.owner.user_id)
    assert (await admin.mutate("users.update", {"id": owner, "name": "É\"'\\"})).data["name"] == "É\"'\\"


async def test_a_name_has_its_bounds_whoever_writes_it(database: Database, people: People) -> None:
    """Not only in `users.update`, whose input is checked: a handler's own SQL, and an operator's, is refused as well, by the field's name."""
    app = Tenantry()
    own = app.router("own")

    @own.mutation
    def rename(ctx: Ctx, name: str) -> Statement[str]:
        return ctx.db.one(str, "update users set name = $1 where id = tenantry.user_id() returning name", name)

    async with opened(app, database) as app:
        client = Client(app, people.acme.member.token)
        for name in ("", "x" * 201):
            reply = await client.mutate("own.rename", {"name": name})
            assert (reply.status, reply.code) == (400, "BAD_REQUEST"), reply.json
            assert reply.json["error"]["message"] == "A name has 1 to 200 characters"
            assert reply.json["error"]["data"]["issues"][0]["path"] == ["name"]
        assert (await client.mutate("own.rename", {"name": "x" * 200})).status == 200
    stranger = (
        "(select i.id from auth_identities i join users u on u.identity_id = i.id where u.tenant_id = $2 limit 1)"
    )
    for statement in (
        "update users set name = '' where tenant_id = $1 returning $2::uuid",
        f"insert into users (tenant_id, identity_id, email, name) values ($1, {stranger}, 'x@x.example', '') returning $2::uuid",
    ):
        with pytest.raises(psycopg.errors.CheckViolation):
            database.value(statement, people.acme.id, people.globex.id)


async def test_an_update_without_changes_says_so(app: Tenantry, people: People) -> None:
    reply = await Client(app, people.acme.owner.token).mutate("users.update", {"id": str(people.acme.owner.user_id)})
    assert (reply.code, reply.error["message"]) == ("BAD_REQUEST", "Nothing to change")


@pytest.mark.parametrize(
    ("caller", "target", "role", "code"),
    [
        ("member", "member", "admin", "FORBIDDEN"),
        ("member", "admin", "member", "FORBIDDEN"),
        ("admin", "member", "owner", "FORBIDDEN"),
        ("admin", "owner", "member", "FORBIDDEN"),
        ("admin", "admin", "owner", "FORBIDDEN"),
        ("owner", "owner", "member", "CONFLICT"),
    ],
)
async def test_nobody_grants_above_themselves(
    app: Tenantry, people: People, caller: str, target: str, role: str, code: str
) -> None:
    client = Client(app, getattr(people.acme, caller).token)
    member = str(getattr(people.acme, target).user_id)
    before = (await client.query("users.get", {"id": member})).data
    assert (await client.mutate("users.update", {"id": member, "role": role})).code == code
    assert (await client.query("users.get", {"id": member})).data == before


@pytest.mark.parametrize(
    ("caller", "target", "role"),
    [("admin", "member", "admin"), ("owner", "admin", "owner"), ("owner", "member", "admin")],
)
async def test_a_role_is_given_by_who_has_it(
    app: Tenantry, people: People, caller: str, target: str, role: str
) -> None:
    client = Client(app, getattr(people.acme, caller).token)
    member = str(getattr(people.acme, target).user_id)
    changed = (await client.mutate("users.update", {"id": member, "role": role, "name": "New name"})).data
    assert (changed["role"], changed["name"]) == (role, "New name")


async def test_of_two_owners_who_demote_each_other_at_once_one_stays(app: Tenantry, people: People) -> None:
    first, second = people.acme.owner, people.acme.admin
    await Client(app, first.token).mutate("users.update", {"id": str(second.user_id), "role": "owner"})
    replies = await asyncio.gather(
        Client(app, first.token).mutate("users.update", {"id": str(second.user_id), "role": "member"}),
        Client(app, second.token).mutate("users.update", {"id": str(first.user_id), "role": "member"}),
    )
    assert sorted(r.status for r in replies)[0] == 200
    owners = [u for u in (await everyone(Client(app, first.token))).values() if u["role"] == "owner"]
    assert len(owners) == 1


async def test_a_removed_member_is_out_at_the_next_request(app: Tenantry, people: People) -> None:
    member = Client(app, people.acme.member.token)
    assert (await member.query("users.list")).status == 200
    gone = await Client(app, people.acme.admin.token).mutate("users.delete", {"id": str(people.acme.member.user_id)})
    assert gone.data == str(people.acme.member.user_id)
    assert (await member.query("users.list")).code == "UNAUTHORIZED"


async def test_an_admin_does_not_remove_an_owner_and_the_last_owner_does_not_leave(
    app: Tenantry, people: People
) -> None:
    owner = str(people.acme.owner.user_id)
    assert (await Client(app, people.acme.admin.token).mutate("users.delete", {"id": owner})).code == "FORBIDDEN"
    last = await Client(app, people.acme.owner.token).mutate("users.delete", {"id": owner})
    assert (last.status, last.code) == (409, "CONFLICT")
    assert (await Client(app, people.acme.owner.token).query("users.get", {"id": owner})).status == 200


async def test_pages_go_through_everybody_once_in_order(app: Tenantry, people: People, database: Database) -> None:
    database.add_members("acme", 45)
    client, seen, after = Client(app, people.acme.member.token), [], None
    while True:
        page = (await client.query("users.list", {"after": after, "limit": 20})).data
        seen += [(u["createdAt"], u["id"]) for u in page["items"]]
        after = page["nextCursor"]
        if after is None:
            break
    assert len(seen) == len(set(seen)) >= 48
    assert seen == sorted(seen)


async def test_a_tenant_is_read_by_members_and_renamed_by_admins(app: Tenantry, people: People) -> None:
    member, admin = Client(app, people.acme.member.token), Client(app, people.acme.admin.token)
    assert (await member.query("tenants.current")).data["slug"] == "acme"
    assert (await member.mutate("tenants.update", {"name": "Mine"})).code == "FORBIDDEN"
    assert (await admin.mutate("tenants.update", {"name": "Acme Ltd"})).data["name"] == "Acme Ltd"
    assert (await member.query("tenants.current")).data["name"] == "Acme Ltd"


async def test_a_switch_rotates_the_token_and_moves_to_the_other_tenant(
    app: Tenantry, people: People, database: Database
) -> None:
    database.add_member("globex", people.acme.member.email, "member")
    old = Client(app, people.acme.member.token)
    assert {t["slug"] for t in (await old.query("tenants.list")).data} == {"acme", "globex"}
    switched = (await old.mutate("tenants.switch", {"tenant": "globex"})).data
    new = Client(app, switched["token"])
    assert (await new.query("tenants.current")).data["slug"] == "globex"
    assert (await old.query("tenants.current")).code == "UNAUTHORIZED"


async def test_a_switch_by_cookie_answers_with_a_cookie_and_no_token(
    app: Tenantry, people: People, database: Database
) -> None:
    database.add_member("globex", people.acme.member.email, "member")
    client = Client(app, headers={"cookie": f"authjs.session-token={people.acme.member.token}"})
    reply = await client.mutate("tenants.switch", {"tenant": "globex"})
    assert reply.data["token"] is None
    cookie = reply.header("set-cookie")
    assert cookie is not None
    assert cookie.startswith("authjs.session-token=")
    for part in ("HttpOnly", "SameSite=Lax", "Path=/", "Expires="):
        assert part in cookie


@pytest.mark.parametrize("tenant", ["globex", "no-such", "6f0e8a52-0000-4000-8000-000000000000", "' or true --"])
async def test_a_switch_to_where_one_does_not_belong_changes_nothing(
    app: Tenantry, people: People, tenant: str
) -> None:
    client = Client(app, people.acme.member.token)
    reply = await client.mutate("tenants.switch", {"tenant": tenant})
    assert (reply.code, reply.error["message"]) == ("FORBIDDEN", "Not a member of this tenant")
    assert (await client.query("tenants.current")).data["slug"] == "acme"


async def test_a_stale_tab_cannot_write_into_the_other_tenant(app: Tenantry, people: People) -> None:
    stale = Client(app, people.acme.owner.token, headers={"x-tenantry-tenant": str(people.globex.id)})
    reply = await stale.mutate("users.update", {"id": str(people.acme.owner.user_id), "name": "stale"})
    assert (reply.status, reply.code) == (409, "CONFLICT")
    right = Client(app, people.acme.owner.token, headers={"x-tenantry-tenant": str(people.acme.id)})
    assert (await right.query("users.get", {"id": str(people.acme.owner.user_id)})).data["name"] != "stale"

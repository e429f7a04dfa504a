"""What Tenantry's functions and triggers must be, written down when a migration of ours makes them: found again when they are replaced.

A fact a property, so that a finding says which one differs; the text as a hash. What PostgreSQL prints of a parsed body may change
with its major version: after an upgrade that part is not compared until the next push, which puts the texts back and notes them anew.
`tenantry.fingerprints` is the migrating login's to write, and nobody's whom requests sign in as.
"""

from __future__ import annotations

from typing import Any, cast

from msgspec import Struct

Connection = Any  # psycopg.Connection[Any]: the library is loaded when a command runs
Facts = dict[str, Any]

FACTS = """
select 'function' as kind, p.oid, p.ctid::pg_catalog.text as place,
       pg_catalog.format('%I.%I(%s)', n.nspname, p.proname, (
           select coalesce(pg_catalog.string_agg(pg_catalog.format_type(t.id, null), ',' order by t.place), '')
             from pg_catalog.unnest(p.proargtypes::oid[]) with ordinality as t (id, place))) as name,
       pg_catalog.jsonb_build_object(
           'owner', pg_catalog.pg_get_userbyid(p.proowner),
           'security', case when p.prosecdef then 'definer' else 'invoker' end,
           'volatility', case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
           'leakproof', p.proleakproof,
           'parallel', case p.proparallel when 's' then 'safe' when 'r' then 'restricted' else 'unsafe' end,
           'strict', p.proisstrict,
           'language', l.lanname,
           'settings', coalesce(pg_catalog.to_jsonb(p.proconfig), '[]'),
           'returns', pg_catalog.format_type(p.prorettype, null),
           'text', pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(p.prosrc, 'UTF8')), 'hex'),
           'body', pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(
               coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), '') || '/' || pg_catalog.pg_get_function_arguments(p.oid),
               'UTF8')), 'hex'),
           'run by', (
               select coalesce(pg_catalog.jsonb_agg(distinct coalesce(r.rolname, 'public') order by coalesce(r.rolname, 'public')), '[]')
                 from pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a
                 left join pg_catalog.pg_roles r on r.oid = a.grantee
                where a.grantee = 0 or r.rolname in ('platform', 'tenantry_auth', 'tenantry_ops'))
       ) as facts
  from pg_catalog.pg_proc p
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  join pg_catalog.pg_language l on l.oid = p.prolang
 where n.nspname = 'tenantry' or (n.nspname = 'public' and p.proname = 'get_current_tenant_id')
union all
select 'trigger', t.oid, t.ctid::pg_catalog.text, pg_catalog.format('%I on %I.%I', t.tgname, n.nspname, c.relname),
       pg_catalog.jsonb_build_object(
           'fires', case t.tgenabled when 'O' then 'in origin' when 'D' then 'never' when 'R' then 'on replicas' else 'always' end,
           'body', pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.pg_get_triggerdef(t.oid), 'UTF8')), 'hex'))
  from pg_catalog.pg_trigger t
  join pg_catalog.pg_class c on c.oid = t.tgrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join tenantry.protected o on o.relation = c.oid and o.kind = 'ours'
 where not t.tgisinternal
"""
"""What is there now. The path must be empty: names are printed by it."""

SEAL = (
    "public.get_current_tenant_id()",
    "tenantry.user_id()",
    "tenantry.role()",
    "tenantry.enter(bytea,boolean,text,uuid,integer)",
)
"""Without these four in the registry, somebody has emptied it."""

COMPARED = f"""
select coalesce(w.kind, h.kind) as kind, coalesce(w.name, h.name) as name, w.facts as wanted, h.facts as found, w.definition,
       coalesce(w.server = pg_catalog.current_setting('server_version_num')::integer / 10000, true) as is_same_server
  from tenantry.fingerprints w
  full join ({FACTS}) h on h.kind = w.kind and h.name = w.name
 where w.facts is distinct from h.facts or w.server <> pg_catalog.current_setting('server_version_num')::integer / 10000
"""  # noqa: S608 - both parts are constants

_NOTE = f"""
insert into tenantry.fingerprints as f (kind, name, server, facts, definition)
select h.kind, h.name, pg_catalog.current_setting('server_version_num')::integer / 10000, h.facts,
       case h.kind when 'function' then pg_catalog.pg_get_functiondef(h.oid) else pg_catalog.pg_get_triggerdef(h.oid) end
  from ({FACTS}) h
 where $1::oid[] is null or h.oid = any ($1)
    on conflict on constraint fingerprints_pkey do update
   set server = excluded.server, facts = excluded.facts, definition = excluded.definition
"""  # noqa: S608 - both parts are constants
_MARKS = """
select p.oid, p.ctid::text from pg_catalog.pg_proc p
 where p.pronamespace = pg_catalog.to_regnamespace('tenantry') or p.oid = pg_catalog.to_regprocedure('public.get_current_tenant_id()')
union all
select t.oid, t.ctid::text from pg_catalog.pg_trigger t
 where not t.tgisinternal
"""
_GONE = f"""
delete from tenantry.fingerprints f where not exists (select from ({FACTS}) h where h.kind = f.kind and h.name = f.name)
"""  # noqa: S608 - both parts are constants


_FIND = f"select h.oid from ({FACTS}) h where h.kind = $1 and h.name = $2"  # noqa: S608 - both parts are constants


class Difference(Struct, frozen=True):
    """One function or trigger that is not what it was made."""

    kind: str
    name: str
    wrong: list[str]
    """Empty for what only waits for a push after an upgrade."""
    wanted: Facts | None
    found: Facts | None
    definition: str | None
    is_same_server: bool
    """Of the major version that it was written down on."""


def is_there(connection: Connection) -> bool:
    """Whether the registry has been made."""
    return connection.execute("select pg_catalog.to_regclass('tenantry.fingerprints') is not null").fetchone()[0]


def compare(connection: Connection) -> list[Difference]:
    """What differs. Inside a transaction; its search_path must be empty."""
    cursor = connection.execute(COMPARED)
    names = [column.name for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    known = connection.execute("select name from tenantry.fingerprints where kind = 'function'").fetchall()
    bare = {name.partition("(")[0] for (name,) in known}
    return [one for row in rows if (one := _judge(row, bare)) is not None]


def _judge(row: dict[str, Any], known: set[str]) -> Difference | None:
    wanted, found = row["wanted"], row["found"]
    if wanted is None:
        wrong = _undeclared(row["kind"], row["name"], known)
    elif found is None:
        wrong = ["it is gone"]
    else:
        wrong = [
            "its text was replaced"
            if fact in ("text", "body")
            else f"{fact}: {_shown(fact, found.get(fact))} instead of {_shown(fact, value)}"
            for fact, value in wanted.items()
            if found.get(fact) != value and (fact != "body" or row["is_same_server"])
        ]
    if wanted is None and not wrong:
        return None
    return Difference(
        row["kind"], row["name"], list(dict.fromkeys(wrong)), wanted, found, row["definition"], row["is_same_server"]
    )


def _undeclared(kind: str, name: str, known: set[str]) -> list[str]:
    if name in SEAL:
        return ["it is not in the registry of fingerprints"]
    if kind == "trigger":
        return ["a trigger on one of Tenantry's own tables, and nobody declared it"]
    # A call finds a function of fewer parameters before one that has defaults.
    return ["it has the name of one of Tenantry's, and nobody declared it"] if name.partition("(")[0] in known else []


def _shown(fact: str, value: Any) -> str:
    if isinstance(value, list):
        values = cast("list[str]", value)  # out of JSON, where `settings` and `run by` are lists of names
        return ", ".join(values) or ("no SET clause" if fact == "settings" else "nobody")
    return str(value)


# ------------------------------------------------------------------ written by db push


def marks(connection: Connection) -> dict[int, str] | None:
    """Where each one's row of the catalogue lies: it moves when it is made anew. None before there is a registry."""
    return dict(connection.execute(_MARKS).fetchall()) if is_there(connection) else None


def note(connection: Connection, before: dict[int, str] | None) -> None:
    """Write down what this transaction made since `before`; everything, where the registry is as new. Empties the search_path."""
    after = marks(connection)
    if after is None:
        return
    touched = None if before is None else [oid for oid, place in after.items() if before.get(oid) != place]
    gone = before is not None and any(oid not in after for oid in before)
    if not touched and touched is not None and not gone:
        return
    connection.execute("set local search_path = ''")
    _settle(connection, touched)
    connection.execute("set role tenantry_owner")
    if touched is None or touched:
        connection.execute(_NOTE, (touched,))
    if gone:
        connection.execute(_GONE)
    connection.execute("reset role")


_PARSED = """
select pg_catalog.pg_get_userbyid(p.proowner), pg_catalog.pg_get_functiondef(p.oid) from pg_catalog.pg_proc p
 where p.prosqlbody is not null and p.pronamespace in (pg_catalog.to_regnamespace('tenantry'), pg_catalog.to_regnamespace('public'))
   and ($1::oid[] is null or p.oid = any ($1)) and (p.pronamespace <> 'public'::regnamespace or p.proname = 'get_current_tenant_id')
"""


def _settle(connection: Connection, touched: list[int] | None) -> None:
    """Make parsed bodies anew from what is printed of them: a dump does so, and what is printed then may differ once, and no more."""
    for owner, definition in connection.execute(_PARSED, (touched,)).fetchall():
        connection.execute(f"set role {owner}")
        connection.execute(definition)
    connection.execute("reset role")


def put_back(connection: Connection) -> list[str]:
    """Make what differs what it was, from the registry, and note it as it is printed then. One line a thing.

    Inside a transaction. What this login may not change is left: the check afterwards names it, with its cure.
    """
    if not is_there(connection):
        return []
    connection.execute("set local search_path = ''")
    lines: list[str] = []
    done = -1
    while done < len(lines):  # a function may wait for another that is gone with it
        done = len(lines)
        connection.execute("set role tenantry_owner")  # the migrating login itself reads nothing
        found = compare(connection)
        connection.execute("reset role")
        lines += [
            f"{one.name}: put back ({'; '.join(one.wrong)})"
            for one in found
            if one.wanted is not None and _put_back(connection, one) and one.wrong
        ]
    return lines


def _put_back(connection: Connection, one: Difference) -> bool:
    import psycopg

    try:
        with connection.transaction():
            for statement in cure(one):
                connection.execute(statement)
            _note_anew(connection, one)
    except psycopg.Error:
        return False
    return True


def _note_anew(connection: Connection, one: Difference) -> None:
    connection.execute("set role tenantry_owner")
    found = connection.execute(_FIND, (one.kind, one.name)).fetchone()
    if found is not None:
        connection.execute(_NOTE, ([found[0]],))
    connection.execute("reset role")


def cure(one: Difference) -> list[str]:
    """The statements that make it what it was; for what nobody declared, its removal. None where only a push knows."""
    if one.wanted is None or one.definition is None:
        return [] if one.name in SEAL else [f"drop {one.kind} {one.name}"]
    return (
        _of_trigger(one, one.wanted, one.definition)
        if one.kind == "trigger"
        else _of_function(one, one.wanted, one.definition)
    )


def _of_trigger(one: Difference, wanted: Facts, definition: str) -> list[str]:
    name, _, table = one.name.partition(" on ")
    fires = {"in origin": "enable", "always": "enable always", "on replicas": "enable replica", "never": "disable"}
    return [
        "set role tenantry_owner", f"drop trigger if exists {name} on {table}", definition,
        f"alter table {table} {fires[wanted['fires']]} trigger {name}", "reset role",
    ]  # fmt: skip


def _of_function(one: Difference, wanted: Facts, definition: str) -> list[str]:
    owner, found = wanted["owner"], one.found or {}
    statements: list[str] = []
    if found and found["owner"] != owner:
        statements.append(f"alter function {one.name} owner to {owner}")
    if (
        not found
        or any(found[fact] != value for fact, value in wanted.items() if fact not in ("owner", "run by"))
        or not one.wrong
    ):
        statements += [f"set role {owner}", definition, "reset role"]
    wanted_by = wanted["run by"]
    has = found.get("run by", ["public"])
    if has != wanted_by:
        less, more = [r for r in has if r not in wanted_by], [r for r in wanted_by if r not in has]
        statements.append(f"set role {owner}")
        statements += [f"revoke execute on function {one.name} from {', '.join(less)}"] if less else []
        statements += [f"grant execute on function {one.name} to {', '.join(more)}"] if more else []
        statements.append("reset role")
    return statements

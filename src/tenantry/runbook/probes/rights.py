"""Rights and settings: what was granted, owned, switched on and set when Tenantry was made here, against what is there now.

Each row says what is not as it was made, and the statement that puts it back; a row belongs to one cause by its `kind`. The catalogue
answers everybody, so this is asked as `tenantry_ops`; where that login itself is broken, as the superuser if one was given.
"""

from __future__ import annotations

from typing import Any, LiteralString

import msgspec

from tenantry.db.sql import quoted
from tenantry.runbook.model import Look, Probe
from tenantry.runbook.place import Login, Place, Refusal

LOGINS = ("platform", "tenantry_auth", "tenantry_ops")

FUNCTIONS: tuple[tuple[str, str], ...] = (
    ("public.get_current_tenant_id()", "platform"),
    ("tenantry.enter(bytea,boolean,text,uuid,integer)", "platform"),
    ("tenantry.not_one(bigint)", "platform"),
    ("tenantry.refuse_value(text)", "platform"),
    ("tenantry.require(boolean)", "platform"),
    ("tenantry.role()", "platform"),
    ("tenantry.user_id()", "platform"),
    ("tenantry.can(text)", "platform"),
    ("tenantry.publish(text[],text[])", "platform"),
    ("tenantry.accept_invitation(bytea,bytea,bytea,text)", "tenantry_auth"),
    ("tenantry.begin_email(text,bytea,bytea,integer,text,text)", "tenantry_auth"),
    ("tenantry.finish_email(text,bytea,bytea,text)", "tenantry_auth"),
    ("tenantry.live_sessions(bytea[],uuid[])", "tenantry_auth"),
    ("tenantry.read_session(bytea,integer,integer,integer)", "tenantry_auth"),
    ("tenantry.sign_in(text,bytea,bytea,text)", "tenantry_auth"),
    ("tenantry.sign_out(bytea,text)", "tenantry_auth"),
    ("tenantry.switch_tenant(bytea,bytea,text,text)", "tenantry_auth"),
    ("tenantry.tenants_of(bytea)", "tenantry_auth"),
    ("tenantry.defects()", "tenantry_ops"),
    ("tenantry.session_counts()", "tenantry_ops"),
    ("tenantry.sequences_used()", "tenantry_ops"),
    ("tenantry.terminate(integer)", "tenantry_ops"),
)
"""What every installation calls, and as whom. A test compares it with a fresh database."""

TABLES = (
    "public.users", "public.auth_sessions", "public.auth_identities", "tenantry.tenants", "tenantry.migrations", "tenantry.protected", "tenantry.policies",
    "tenantry.grants", "tenantry.permissions", "tenantry.event_ring", "public.audit_log",
)  # fmt: skip
"""Tables that every installation has; the same test looks for them."""

TABLES_GONE_SQL = """
select t.name as object from pg_catalog.unnest($1::text[]) as t (name) where pg_catalog.to_regclass(t.name) is null
"""
LOGINS_SQL = """
select l.name as role, r.oid is not null as is_there, r.rolcanlogin as may_sign_in, r.rolvaliduntil <= pg_catalog.now() as is_expired,
       r.rolvaliduntil::text as until, r.rolconnlimit as most, d.datname::text as database, d.datconnlimit as database_most,
       coalesce(pg_catalog.has_database_privilege(r.oid, d.oid, 'connect'), true) as may_connect
  from pg_catalog.unnest($1::text[]) as l (name)
  left join pg_catalog.pg_roles r on r.rolname = l.name
 cross join (select * from pg_catalog.pg_database where datname = pg_catalog.current_database()) d
"""
GRANTS_SQL = """
select 'schema ' || n.name as object, r.rolname::text as role, 'usage' as privilege,
       pg_catalog.format('grant usage on schema %I to %I', n.name, r.rolname) as cure
  from pg_catalog.pg_roles r
  join (values ('public', 'platform'), ('tenantry', 'platform'), ('public', 'tenantry_auth'), ('tenantry', 'tenantry_auth'),
               ('public', 'tenantry_ops'), ('tenantry', 'tenantry_ops')) as n (name, login) on n.login = r.rolname
 where pg_catalog.to_regnamespace(n.name) is not null
   and not pg_catalog.has_schema_privilege(r.oid, pg_catalog.to_regnamespace(n.name)::oid, 'usage')
   and (n.name, n.login) <> ('public', 'tenantry_auth')
union all
select g.relation::text, g.role::text, g.privilege || coalesce(' (' || nullif(pg_catalog.array_to_string(g.columns, ', '), '') || ')', ''),
       pg_catalog.format('grant %s%s on %s to %I', g.privilege,
           (select ' (' || pg_catalog.string_agg(pg_catalog.quote_ident(c), ', ') || ')' from pg_catalog.unnest(g.columns) c), g.relation, g.role)
  from tenantry.grants g
  join pg_catalog.pg_class t on t.oid = g.relation
  join pg_catalog.pg_roles r on r.rolname = g.role
 where not pg_catalog.has_table_privilege(r.oid, t.oid, g.privilege)
   and (g.columns = '{}' or g.privilege = 'delete' or exists (
            select from pg_catalog.unnest(g.columns) c
              join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attname = c and not a.attisdropped
             where not pg_catalog.has_column_privilege(r.oid, t.oid, a.attnum, g.privilege)))
union all
select p.relation::text, 'platform', 'select, insert, update, delete',
       pg_catalog.format('grant select, insert, update, delete on %s to platform', p.relation)
  from tenantry.protected p
  join pg_catalog.pg_class t on t.oid = p.relation
 where p.kind = 'protected' and pg_catalog.to_regrole('platform') is not null
   and not pg_catalog.has_table_privilege('platform', t.oid, 'select, insert, update, delete')
   and not pg_catalog.has_any_column_privilege('platform', t.oid, 'select, insert, update')
union all
select f.name, f.role, 'execute', pg_catalog.format('grant execute on function %s to %I', f.name, f.role)
  from rows from (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) as f (name, role)
 where f.name <> 'public.get_current_tenant_id()' and pg_catalog.to_regrole(f.role) is not null
   and pg_catalog.to_regprocedure(f.name) is not null
   and not pg_catalog.has_function_privilege(f.role, pg_catalog.to_regprocedure(f.name)::oid, 'execute')
 limit 100
"""
"""Of a table that lost everything; a builder may take single privileges away from platform, and means it."""

GONE_SQL = """
select f.name as object
  from pg_catalog.unnest($1::text[]) as f (name)
 where f.name <> 'public.get_current_tenant_id()' and pg_catalog.to_regprocedure(f.name) is null
"""
"""With these arguments: another variant of the name is not what is called."""

PARTIAL_SQL = """
select p.relation::text as object, pg_catalog.string_agg(w.name, ', ') as privileges,
       pg_catalog.format('grant %s on %s to platform', pg_catalog.string_agg(w.name, ', '), p.relation) as cure
  from tenantry.protected p
 cross join (values ('select'), ('insert'), ('update'), ('delete')) as w (name)
 where p.kind = 'protected' and pg_catalog.to_regrole('platform') is not null and p.relation::oid is distinct from pg_catalog.to_regclass('public.users')::oid
   and not pg_catalog.has_table_privilege('platform', p.relation::oid, w.name)
   and not (w.name <> 'delete' and pg_catalog.has_any_column_privilege('platform', p.relation::oid, w.name))
 group by p.relation order by 1 limit 50
"""
"""May be meant so, by whoever wrote the table: a finding only while calls fail."""

CLOSED_SQL = """
select l.polrelid::regclass::text as object, l.polname::text as policy, pg_catalog.format('drop policy %I on %s', l.polname, l.polrelid::regclass) as cure
  from pg_catalog.pg_policy l
  join tenantry.protected p on p.relation = l.polrelid
 where not l.polpermissive
   and 'false' in (pg_catalog.pg_get_expr(l.polqual, l.polrelid), pg_catalog.pg_get_expr(l.polwithcheck, l.polrelid))
   and not exists (select from tenantry.policies k where k.relation = l.polrelid and k.name = l.polname)
 order by 1, 2 limit 50
"""
OWNERS_SQL = """
select p.relation::text as object, pg_catalog.pg_get_userbyid(c.relowner)::text as owner,
       pg_catalog.format('alter table %s owner to tenantry_owner', p.relation) as cure
  from tenantry.protected p join pg_catalog.pg_class c on c.oid = p.relation
 where c.relowner <> pg_catalog.to_regrole('tenantry_owner')::oid
 order by 1 limit 50
"""
POLICIES_SQL = """
select p.relation::text as object, p.name::text as policy
  from tenantry.policies p
  join pg_catalog.pg_policy l on l.polrelid = p.relation and l.polname = p.name
 where l.polcmd::text <> case p.command when 'select' then 'r' when 'insert' then 'a' when 'update' then 'w' when 'delete' then 'd' else '*' end
    or l.polroles <> array[case p.role when 'public' then 0::oid else pg_catalog.to_regrole(p.role::text)::oid end]
 order by 1, 2 limit 50
"""
DEFAULTS_SQL = """
select p.relation::text as object
  from tenantry.protected p
  join pg_catalog.pg_attribute a on a.attrelid = p.relation and a.attname = 'tenant_id' and not a.attisdropped
  left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
 where p.kind = 'protected' and d.oid is null
 order by 1 limit 50
"""
TRIGGERS_SQL = """
select t.tgrelid::regclass::text as object, pg_catalog.string_agg(t.tgname::text, ', ' order by t.tgname) as names,
       pg_catalog.format('alter table %s enable trigger all', t.tgrelid::regclass) as cure
  from pg_catalog.pg_trigger t
  join tenantry.protected p on p.relation = t.tgrelid
 where t.tgenabled = 'D'
 group by t.tgrelid order by 1 limit 50
"""
EXTENSIONS_SQL = """
select pg_catalog.current_setting('pg_stat_statements.max', true) is not null as is_loaded,
       exists (select from pg_catalog.pg_extension e where e.extname = 'pg_stat_statements') as is_there
"""
"""A setting of the library is there if the server loaded it."""


async def _rights(place: Place) -> Look:
    names, roles = [name for name, _ in FUNCTIONS], [role for _, role in FUNCTIONS]
    login, logins = await place.ask_as_ops_or_superuser(LOGINS_SQL, [list(LOGINS)])
    found: dict[str, list[dict[str, Any]]] = {"logins": [row for one in logins for row in _of_login(one)]}
    if (await place.ask(login, "select pg_catalog.to_regclass('tenantry.grants') is not null as is_there"))[0][
        "is_there"
    ]:
        wanted: tuple[tuple[str, LiteralString, list[Any]], ...] = (
            ("tables", TABLES_GONE_SQL, [list(TABLES)]), ("grants", GRANTS_SQL, [names, roles]), ("gone", GONE_SQL, [names]), ("owners", OWNERS_SQL, []), ("policies", POLICIES_SQL, []),
            ("defaults", DEFAULTS_SQL, []), ("triggers", TRIGGERS_SQL, []), ("partial", PARTIAL_SQL, []), ("closed", CLOSED_SQL, []),
        )  # fmt: skip
        for name, text, values in wanted:
            try:
                found[name] = await place.ask(login, text, values)
            except Refusal as refusal:
                if refusal.sqlstate != "42501":
                    raise
                # Not even the register can be read: that is a lost grant, of the doctor's own.
                found[name] = []
                found.setdefault("unreadable", []).append({"object": name, "words": refusal.words})
        found["replaced"] = await _replaced(place, login)
    (extension,) = await place.ask(login, EXTENSIONS_SQL)
    is_gone = extension["is_loaded"] and not extension["is_there"]
    found["extensions"] = (
        [{"object": "pg_stat_statements", "cure": "create extension pg_stat_statements schema public"}]
        if is_gone
        else []
    )
    lines = [
        f"{kind}: {', '.join(str(v) for k, v in row.items() if k != 'cure')}"
        for kind, rows in found.items()
        for row in rows
    ]
    return Look(dict(found), "\n".join(lines[:40]) or "all as it was made")


async def _replaced(place: Place, login: Login) -> list[dict[str, Any]]:
    """Functions that are not what the watcher last saw, though no migration came."""
    from tenantry.processes.isolation import FUNCTIONS as TEXTS
    from tenantry.processes.isolation import HISTORY, Known

    try:
        known = msgspec.json.decode((place.home / "watch" / "isolation.json").read_bytes(), type=Known)
    except (OSError, msgspec.DecodeError):
        return []
    (history,) = await place.ask(login, HISTORY)
    if not known.history or next(iter(history.values())) != known.history:
        return []
    now = {str(name): str(text) for name, text in (row.values() for row in await place.ask(login, TEXTS))}
    return [{"object": name} for name, text in sorted(known.functions.items()) if now.get(name, text) != text]


def _of_login(row: dict[str, Any]) -> list[dict[str, Any]]:
    """What keeps a role out, each with its cure."""
    role, database = row["role"], quoted(str(row["database"]))
    if not row["is_there"]:
        return [{"role": role, "why": "there is no such role", "cure": ""}]
    rows: list[dict[str, Any]] = []
    if not row["may_sign_in"]:
        rows.append({"role": role, "why": "it may not sign in (NOLOGIN)", "cure": f"alter role {role} login"})
    if row["is_expired"]:
        why = f"its password was valid until {row['until']}"
        rows.append({"role": role, "why": why, "cure": f"alter role {role} valid until 'infinity'"})
    if not row["may_connect"]:
        why = "it may not connect to this database"
        rows.append({"role": role, "why": why, "cure": f"grant connect on database {database} to {role}"})
    return rows


RIGHTS = Probe("rights", "tenantry verify; \\dn+ \\dp \\df+ \\du", _rights)


async def _ring(place: Place) -> Look:
    """As `platform`, which may read it: its one row is not in a restore of the schema alone."""
    (row,) = await place.ask("platform", "select not exists (select from tenantry.event_ring) as is_empty")
    return Look(dict(row), "no row" if row["is_empty"] else "there")


RING = Probe("event-ring", "tenantry psql --role postgres -c 'select * from tenantry.event_ring'", _ring)

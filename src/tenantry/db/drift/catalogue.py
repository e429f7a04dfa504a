"""The catalogue of a database as plain values: one `Thing` for each table, column, constraint, policy, grant, comment and so on."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, TypeAlias

from msgspec import Struct

from tenantry.db.sql import quoted as identifier

Key: TypeAlias = tuple[str, str]
"""(kind, name)"""
_TEXT = files("tenantry.db.drift").joinpath("catalogue.sql")
_PROTECTED = """
select format('%I.%I', n.nspname, c.relname), p.kind, p.owner_column::text, p.why
  from tenantry.protected p
  join pg_catalog.pg_class c on c.oid = p.relation
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where p.kind <> 'ours' and n.nspname <> 'tenantry'
"""
_DEFAULTS = """
select quote_ident(pg_get_userbyid(d.defaclrole)), quote_ident(n.nspname),
       case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' when 'T' then 'types'
            else 'schemas' end,
       case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end,
       string_agg(lower(a.privilege_type), ', ' order by a.privilege_type)
  from pg_catalog.pg_default_acl d
  left join pg_catalog.pg_namespace n on n.oid = d.defaclnamespace
  cross join lateral aclexplode(d.defaclacl) a
 where a.grantee <> d.defaclrole and n.nspname is distinct from 'tenantry'
 group by 1, 2, 3, 4
"""


class Thing(Struct, frozen=True):
    """One thing. `parent` is the key of what it goes away with; `body` is compared; `detail` is for alterations."""

    kind: str
    name: str
    parent: Key | None
    body: str
    makes: str | None
    drops: str | None
    detail: dict[str, Any]
    place: tuple[int, int]
    """Of its making: later things may need earlier ones."""

    @property
    def key(self) -> Key:
        """What it is known by on both sides."""
        return self.kind, self.name


Catalogue: TypeAlias = dict[Key, Thing]


def read(connection: Any) -> Catalogue:
    """Everything that is compared, in one snapshot. `connection` is psycopg's (RawCursor, autocommit), of who may read all of it."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        return read_inside(connection)


def read_inside(connection: Any) -> Catalogue:
    """The same in a transaction that is open. Its search_path is empty afterwards."""
    found: Catalogue = {}
    connection.execute("set local search_path = ''")
    for row in connection.execute(_TEXT.read_text("utf-8")).fetchall():
        for thing in _things(*row):
            found[thing.key] = thing
    for thing in _registered(connection):
        found[thing.key] = thing
    return found


def _things(
    kind: str, name: str, parent: str | None, body: str, makes: str | None, drops: str | None, phrase: str | None, detail: str | None,
    comment: str | None, owner: str | None, grants: str | None, oid: int, part: int,
) -> list[Thing]:  # fmt: skip
    """The thing itself, its comment, its owner, and one for each that it is granted to."""
    place = (oid, part)
    more: dict[str, Any] = json.loads(detail or "{}")
    if kind == "early function":  # a matter of order only
        kind, more["early"] = "function", True
    made = [Thing(kind, name, _parent(parent), body, makes, drops, more, place)]
    if phrase is None:
        return made
    own: Key = (kind, name)
    if comment is not None:
        makes = f"comment on {phrase} is {quoted(comment)}"
        made.append(Thing("comment", phrase, own, comment, makes, f"comment on {phrase} is null", {}, place))
    if owner is not None and kind != "schema":
        makes = f"alter {phrase} owner to {identifier(owner)}"
        made.append(Thing("owner", phrase, own, owner, makes, None, {"owner": owner}, place))
    for grantee, privileges in json.loads(grants or "{}").items():
        what = _grantable(phrase)
        detail_of = {"privileges": privileges, "what": what, "grantee": grantee}
        made.append(Thing("grant", f"{what} to {grantee}", own, ", ".join(privileges), None, None, detail_of, place))
    return made


def _parent(text: str | None) -> Key | None:
    if text is None:
        return None
    for kind in ("materialized view", "table", "view", "sequence"):
        if text.startswith(kind + " "):
            return kind, text.removeprefix(kind + " ")
    return None


def _grantable(phrase: str) -> str:
    """`table public.notes`, `column public.notes.body`: what GRANT calls it."""
    for word in ("materialized view ", "view "):
        if phrase.startswith(word):
            return "table " + phrase.removeprefix(word)
    return phrase


def _registered(connection: Any) -> list[Thing]:
    """What protect(), share(), unprotect() and allowed_definer wrote down, and default privileges."""
    made: list[Thing] = []
    if connection.execute("select to_regclass('tenantry.protected')").fetchone()[0] is not None:
        for name, kind, owner, why in connection.execute(_PROTECTED).fetchall():
            more = f", {quoted(owner)}" if owner else f", {quoted(why)}" if why else ""
            verb = {"protected": "protect", "shared": "share", "closed": "unprotect"}[kind]
            call = f"select tenantry.{verb}({quoted(name)}{more})"
            body = f"{kind}{more}"
            made.append(Thing("protection", name, ("table", name), body, call, None, {"kind": kind}, (0, 0)))
        for name, why in connection.execute("select function, why from tenantry.allowed_definer").fetchall():
            makes = f"insert into tenantry.allowed_definer (function, why) values ({quoted(name)}, {quoted(why)})"
            drops = f"delete from tenantry.allowed_definer where function = {quoted(name)}"
            made.append(Thing("allowed definer", name, None, "allowed", makes, drops, {}, (0, 0)))
    for role, schema, things, grantee, privileges in connection.execute(_DEFAULTS).fetchall():
        where = f"alter default privileges for role {role}" + (f" in schema {schema}" if schema else "")
        name = f"{things} of {role}{f' in {schema}' if schema else ''} to {grantee}"
        makes = f"{where} grant {privileges} on {things} to {grantee}"
        drops = f"{where} revoke all on {things} from {grantee}"
        made.append(Thing("default privileges", name, None, privileges, makes, drops, {}, (0, 0)))
    return made


def quoted(text: str) -> str:
    """A literal of SQL, whatever stands in it and whatever standard_conforming_strings says."""
    inner = text.replace("'", "''")
    return "E'" + inner.replace("\\", "\\\\") + "'" if "\\" in inner else f"'{inner}'"

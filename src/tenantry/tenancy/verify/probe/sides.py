"""Two tenants to cross between, and how a transaction comes to be in one of them.

Tenantry's own way uses the real doors: a throw-away tenant, member and session, and `tenantry.enter` with its token. By a
setting, the role is taken by SET ROLE and the setting says which tenant. All of it in one transaction, which is rolled back.
"""

from __future__ import annotations

import secrets
from typing import Protocol

from tenantry.tenancy.verify.facts import Connection, Facts
from tenantry.tenancy.verify.probe.seed import Column, Seeds, as_text, sample
from tenantry.tenancy.verify.subject import identifier, literal


class Sides(Protocol):
    """`mine` tries to reach what is `other`'s."""

    mine: str
    other: str

    def prepare(self, seeds: Seeds) -> None:
        """Make the two tenants."""
        ...

    def as_maker(self, tenant: str) -> None:
        """Be somebody who may make this tenant's rows."""
        ...

    def enter(self, tenant: str) -> None:
        """Be the role, in this tenant."""
        ...

    def outside(self) -> None:
        """Be the role, in no tenant."""
        ...


class TenantrySides:
    """By `tenantry.enter`."""

    def __init__(self, connection: Connection, facts: Facts) -> None:
        """`connection` may act as Tenantry's roles: a superuser, or tenantry_migrate."""
        self.connection = connection
        self.role = identifier(facts.subject.role)
        self.facts = facts
        self.mine = self.other = ""
        self.tokens: dict[str, str] = {}

    def prepare(self, seeds: Seeds) -> None:
        """Two tenants with an owner and a session each."""
        run = self.connection.execute
        run("set local search_path = public")
        enter = "tenantry.enter(bytea,boolean,text,uuid,integer)"
        if not run(f"select pg_catalog.has_function_privilege('{enter}', 'execute')").fetchone()[0]:
            run("set local role tenantry_gate")
            run(f"grant execute on function {enter} to session_user")  # undone with the transaction
            run("reset role")
        made: list[str] = []
        for side in ("a", "b"):
            name = f"verify-{side}-{secrets.token_hex(6)}"
            tenant = str(run(f"select tenantry.create_tenant('{name}', 'verify')").fetchone()[0])
            email = f"{name}@verify.invalid"
            run(f"select tenantry.add_member('{tenant}', '{email}', 'verify', 'owner')")
            self.tokens[tenant] = secrets.token_hex(32)
            run(f"select tenantry.create_session('{self.tokens[tenant]}', '{email}', '{tenant}', interval '1 hour')")
            made.append(tenant)
            self.as_maker(tenant)
            for table, condition in (
                ("tenantry.tenants", f"id = '{tenant}'"),
                ("public.users", f"tenant_id = '{tenant}'"),
                ("public.auth_identities", f"email = '{email}'"),
            ):
                relation = self.facts.by_name[table]
                row = run(f"select pg_catalog.to_jsonb(t.*) from {table} t where {condition}").fetchone()[0]
                seeds.rows[tenant, relation.oid] = {key: as_text(value) for key, value in row.items()}
            run("reset role")
        self.mine, self.other = made

    def as_maker(self, tenant: str) -> None:
        """tenantry_system: BYPASSRLS, and nobody's login."""
        self.connection.execute("reset role")
        self.connection.execute("set local role tenantry_system")

    def enter(self, tenant: str) -> None:
        """With the session's token, as a request does."""
        self.connection.execute("reset role")
        self.connection.execute(f"select tenantry.enter('{self.tokens[tenant]}')")
        self.connection.execute(f"set local role {self.role}")

    def outside(self) -> None:
        """Before anything was entered."""
        self.connection.execute("reset role")
        self.connection.execute(f"set local role {self.role}")


class SettingSides:
    """By a setting. A tenant is given as its column's value, or as `value=setting's value` where the two differ."""

    def __init__(self, connection: Connection, facts: Facts, given: list[str]) -> None:
        """`given` may be empty: then two tenants that are there, or two that nobody is."""
        self.connection = connection
        self.role = identifier(facts.subject.role)
        self.setting = literal(facts.subject.setting or "")
        self.facts = facts
        self.values: dict[str, str] = {}
        for one in given:
            value, _, setting = one.partition("=")
            self.values[value] = setting or value
        self.mine = self.other = ""
        row = connection.execute(
            "select rolsuper or rolbypassrls, rolname = current_user from pg_catalog.pg_roles where rolname = current_user"
        ).fetchone()
        self.is_above: bool = row[0]

    def prepare(self, seeds: Seeds) -> None:
        """Find, or invent, two tenants."""
        if len(self.values) < 2:
            self._find()
        kind = {"uuid": "uuid", "bigint": "bigint", "text": "text"}[self.facts.subject.value_type]
        while len(self.values) < 2:
            column = Column(0, "", kind, kind, 0, "b", "", True, False, False, False, False, None, [], None)
            value = sample(column) or ""
            self.values[value] = value
        self.mine, self.other = list(self.values)[:2]
        self._parents(seeds)

    def _find(self) -> None:
        import psycopg

        column = identifier(self.facts.subject.column)
        for one in self.facts.relations:
            if self.facts.is_tenants(one) and one.parent is None and len(self.values) < 2:
                try:
                    with self.connection.transaction():
                        text = f"select distinct {column}::text from {one.name} where {column} is not null limit 2"
                        found = [value for (value,) in self.connection.execute(text).fetchall()]
                except psycopg.Error:
                    continue
                if len(found) == 2:
                    self.values = {value: value for value in found}

    def _parents(self, seeds: Seeds) -> None:
        """The tables that the tenant's column itself refers to have these two tenants."""
        column = self.facts.subject.column
        for links in list(seeds.links.values()):
            for link in links:
                parent = self.facts.by_oid.get(link.parent)
                if link.columns != [column] or parent is None or (self.mine, parent.oid) in seeds.rows:
                    continue
                for tenant in (self.mine, self.other):
                    self.as_maker(tenant)
                    row = {**seeds.values(parent, tenant), link.parent_columns[0]: tenant}
                    text = f"select pg_catalog.to_jsonb(t.*) from {parent.name} t where {identifier(link.parent_columns[0])}::text = {literal(tenant)}"
                    self._attempt(seeds.insert(parent, row) + " on conflict do nothing")
                    found = self._attempt(text)
                    if found:
                        seeds.rows[tenant, parent.oid] = {key: as_text(value) for key, value in found.items()}

    def _attempt(self, text: str) -> dict[str, object] | None:
        import psycopg

        try:
            with self.connection.transaction():
                cursor = self.connection.execute(text)
                row = cursor.fetchone() if cursor.description else None
        except psycopg.Error:
            return None
        return row[0] if row else None

    def as_maker(self, tenant: str) -> None:
        """The login itself where no policy binds it, else the role in that tenant: the way in which rows come to be."""
        self.connection.execute("reset role")
        self._set(self.values[tenant])
        if not self.is_above:
            self.connection.execute(f"set local role {self.role}")

    def enter(self, tenant: str) -> None:
        """Set the setting, and take the role."""
        self.connection.execute("reset role")
        self._set(self.values[tenant])
        self.connection.execute(f"set local role {self.role}")

    def outside(self) -> None:
        """The setting empty, as it is on a connection that served somebody before."""
        self.connection.execute("reset role")
        self._set("")
        self.connection.execute(f"set local role {self.role}")

    def _set(self, value: str) -> None:
        self.connection.execute(f"select pg_catalog.set_config({self.setting}, {literal(value)}, true)")

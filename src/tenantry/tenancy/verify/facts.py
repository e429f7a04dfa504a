"""The catalogues as values: each file of `sql/` read once, its rows as structs of the same field names.

Reads catalogues only, in a transaction (or savepoint) that is rolled back, so that its settings leave nothing behind.
"""

from __future__ import annotations

from functools import cached_property
from importlib.resources import files
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from tenantry.db import fingerprints
from tenantry.tenancy.verify.subject import Subject, literal

T = TypeVar("T")
Connection = Any  # psycopg.Connection[Any]: the library is loaded when a command runs


LOCK_MS = 3_000
"""To print an expression PostgreSQL takes a table's weakest lock: behind an exclusive one a look would wait as long as that is held."""


class Relation(Struct, frozen=True):
    """A row of relations.sql."""

    oid: int
    schema: str
    name: str
    kind: str
    owner: str
    is_own: bool
    has_rls: bool
    is_forced: bool
    parent: str | None
    has_schema: bool
    reach: list[str]
    whole_reach: list[str]
    tenant_type: str | None
    is_tenant_required: bool
    tenant_default: str | None
    is_invoker: bool
    is_of_extension: bool
    reads: list[str]
    rules: list[str]
    feeds: list[str] | None
    has_tenant_index: bool
    column_reach: list[str]
    columns: list[str]

    @property
    def is_table(self) -> bool:
        """An ordinary or partitioned table, or a partition."""
        return self.kind in ("r", "p")

    @property
    def reachable(self) -> list[str]:
        """The privileges that lead anywhere: those in a schema that the role may use."""
        return self.reach if self.has_schema else []


class Policy(Struct, frozen=True):
    """A row of policies.sql."""

    relation: int
    relation_name: str
    name: str
    is_permissive: bool
    command: str
    roles: list[str]
    is_mine: bool
    using_expression: str | None
    check_expression: str | None


class Function(Struct, frozen=True):
    """A row of functions.sql."""

    oid: int
    name: str
    schema: str
    owner: str
    is_owner_above: bool
    is_own: bool
    is_definer: bool
    has_search_path: bool
    volatility: str
    kind: str
    is_leakproof: bool
    language: str
    is_trusted: bool
    is_reachable: bool
    is_trigger: bool
    arguments: list[str]
    source: str


class Escape(Struct, frozen=True):
    """A row of escapes.sql."""

    name: str
    why: str


class Key(Struct, frozen=True):
    """A row of keys.sql."""

    relation: int
    relation_name: str
    name: str
    constraint_name: str | None
    is_unique: bool
    is_primary: bool
    is_exclusion: bool
    has_tenant: bool
    is_led_by_tenant: bool
    has_uuid: bool
    serves_reference: bool
    referenced_by: list[str]
    definition: str
    constraint_definition: str
    columns: list[str]


class Reference(Struct, frozen=True):
    """A row of references.sql."""

    oid: int
    name: str
    child: int
    child_name: str
    parent: int
    parent_name: str
    has_tenant: bool
    has_target: bool
    columns: list[str]
    parent_columns: list[str]
    tenant: str
    on_delete: str
    on_update: str
    is_validated: bool


class Trigger(Struct, frozen=True):
    """A row of triggers.sql."""

    relation: int
    relation_name: str
    name: str
    is_enabled: bool
    function: int
    function_name: str
    is_system: bool
    is_definer: bool
    is_owner_above: bool
    owner: str
    language: str
    source: str


class Role(Struct, frozen=True):
    """A row of roles.sql."""

    oid: int
    name: str
    is_subject: bool
    is_super: bool
    is_bypassing: bool
    is_replicating: bool
    may_create_roles: bool
    may_create_databases: bool
    is_bootstrap: bool
    member_of: list[str]
    direct_member_of: list[str]
    reaches_above: list[str]
    database_privileges: list[str]
    creates_in: list[str]
    languages: list[str]
    settings: list[str]
    other_databases: list[str]
    default_grants: list[str]
    owns: list[str]
    owns_database: bool


class Thing(Struct, frozen=True):
    """A row of server.sql."""

    kind: str
    name: str
    detail: str


class Declared(Struct, frozen=True):
    """A table of the registry."""

    relation: int
    kind: str
    owner_column: str | None
    why: str | None


class DeclaredPolicy(Struct, frozen=True, rename={"using_expression": "using", "check_expression": "check"}):
    """A policy of the registry."""

    relation: int
    relation_name: str
    name: str
    command: str
    role: str
    using_expression: str | None
    check_expression: str | None


class DeclaredGrant(Struct, frozen=True):
    """A grant of the registry, on one of Tenantry's own tables."""

    relation: int
    role: str
    privilege: str
    columns: list[str]


class Allowed(Struct, frozen=True):
    """Something that is listed, with its reason."""

    name: str
    why: str
    kind: str = ""


class Replaced(Struct, frozen=True):
    """One of Tenantry's own functions or triggers that is not what a migration made (`db.fingerprints`)."""

    kind: str
    name: str
    wrong: str
    cure: str


class Registry(Struct, frozen=True):
    """The row of registry.sql."""

    protected: list[Declared]
    policies: list[DeclaredPolicy]
    grants: list[DeclaredGrant]
    definers: list[Allowed]
    replications: list[Allowed]


class Facts(Struct, frozen=True, dict=True):
    """All that was read."""

    subject: Subject
    relations: list[Relation]
    policies: list[Policy]
    functions: list[Function]
    escapes: list[Escape]
    keys: list[Key]
    references: list[Reference]
    triggers: list[Trigger]
    roles: list[Role]
    server: list[Thing]
    registry: Registry | None
    replaced: list[Replaced] | None
    """None where no fingerprints were written down."""

    @cached_property
    def by_oid(self) -> dict[int, Relation]:
        """Relations by oid."""
        return {one.oid: one for one in self.relations}

    @cached_property
    def by_name(self) -> dict[str, Relation]:
        """Relations by qualified name."""
        return {one.name: one for one in self.relations}

    @cached_property
    def declared(self) -> dict[int, Declared]:
        """What the registry says a table is."""
        return {} if self.registry is None else {one.relation: one for one in self.registry.protected}

    @cached_property
    def me(self) -> Role | None:
        """The role that is judged; None if there is none of its name."""
        return next((one for one in self.roles if one.is_subject), None)

    @property
    def is_unbound(self) -> bool:
        """Whether no policy binds the role at all: asking what it may do then is idle."""
        return self.me is not None and self.me.is_super

    def value(self, kind: str) -> str:
        """The name of the one thing of this kind; empty if there is none."""
        return next((one.name for one in self.server if one.kind == kind), "")

    def is_tenants(self, relation: Relation) -> bool:
        """Whether the table's rows belong to tenants."""
        if self.registry is None:
            return relation.is_table and relation.tenant_type is not None
        declared = self.declared.get(relation.oid)
        return declared is not None and declared.kind == "protected"


def read(connection: Connection, subject: Subject) -> Facts:
    """Every catalogue that is judged. Raises psycopg.Error."""
    with connection.transaction(force_rollback=True):
        connection.execute("set local search_path = ''")
        connection.execute(f"set local lock_timeout = {LOCK_MS}")
        for name, value in (("role", subject.role), ("tenant_column", subject.column)):
            connection.execute(f"set local verify.{name} = {literal(value)}")
        return Facts(
            subject,
            _rows(connection, "relations", Relation),
            _rows(connection, "policies", Policy),
            _rows(connection, "functions", Function),
            _rows(connection, "escapes", Escape),
            _rows(connection, "keys", Key),
            _rows(connection, "references", Reference),
            _rows(connection, "triggers", Trigger),
            _rows(connection, "roles", Role),
            _rows(connection, "server", Thing),
            _rows(connection, "registry", Registry)[0] if subject.is_tenantry else None,
            _replaced(connection) if subject.is_tenantry and fingerprints.is_there(connection) else None,
        )


def _replaced(connection: Connection) -> list[Replaced]:
    return [
        Replaced(one.kind, one.name, "; ".join(one.wrong), ";\n".join([*fingerprints.cure(one), ""]).rstrip())
        for one in fingerprints.compare(connection)
        if one.wrong
    ]


def _rows(connection: Connection, name: str, type_: type[T]) -> list[T]:
    text = files("tenantry.tenancy.verify").joinpath("sql", f"{name}.sql").read_text("utf-8")
    cursor = connection.execute(text)
    names = [column.name for column in cursor.description]
    return msgspec.convert([dict(zip(names, row, strict=True)) for row in cursor.fetchall()], list[type_])

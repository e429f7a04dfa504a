"""Whose isolation is judged: a role, and how a tenant is told. Tenantry's own way, or row security by any setting."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

ValueType = Literal["uuid", "bigint", "text"]


class Subject(Struct, frozen=True, kw_only=True):
    """`setting` is None on a database of Tenantry's: the tenant is then told by `get_current_tenant_id()`."""

    role: str = "platform"
    setting: str | None = None
    column: str = "tenant_id"
    value_type: ValueType = "uuid"

    @property
    def is_tenantry(self) -> bool:
        """Whether the registry and `enter` are there to judge by."""
        return self.setting is None

    @property
    def predicate(self) -> str:
        """What a policy should say."""
        if self.setting is None:
            return "tenant_id = (select public.get_current_tenant_id())"
        value = f"pg_catalog.current_setting({literal(self.setting)}, true)"
        cast = "" if self.value_type == "text" else f"::{self.value_type}"
        return f"{identifier(self.column)} = (select nullif({value}, ''){cast})"

    @property
    def owner(self) -> str:
        """Who should own tables."""
        return "tenantry_owner" if self.is_tenantry else f"{self.role}_owner"


def identifier(name: str) -> str:
    """A name, quoted where SQL needs it."""
    return (
        name
        if re.fullmatch(r"[a-z_][a-z0-9_$]*", name) and name not in RESERVED
        else '"' + name.replace('"', '""') + '"'
    )


def literal(text: str) -> str:
    """A text as an SQL constant."""
    quoted = text.replace("'", "''")
    return f" E'{quoted.replace(chr(92), chr(92) * 2)}'" if "\\" in text else f"'{quoted}'"


RESERVED = frozenset(
    [
        "all",
        "analyse",
        "analyze",
        "and",
        "any",
        "array",
        "as",
        "asc",
        "asymmetric",
        "authorization",
        "both",
        "case",
        "cast",
        "check",
        "collate",
        "column",
        "constraint",
        "create",
        "current_role",
        "current_user",
        "default",
        "desc",
        "distinct",
        "do",
        "else",
        "end",
        "except",
        "false",
        "fetch",
        "for",
        "foreign",
        "from",
        "grant",
        "group",
        "having",
        "in",
        "initially",
        "intersect",
        "into",
        "lateral",
        "leading",
        "limit",
        "localtime",
        "not",
        "null",
        "offset",
        "on",
        "only",
        "or",
        "order",
        "placing",
        "primary",
        "references",
        "returning",
        "select",
        "session_user",
        "some",
        "symmetric",
        "table",
        "then",
        "to",
        "trailing",
        "true",
        "union",
        "unique",
        "user",
        "using",
        "variadic",
        "when",
        "where",
        "window",
        "with",
    ]
)
"""PostgreSQL's reserved words (docs, appendix C), less those that nobody would name a table or role by."""

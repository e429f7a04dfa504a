"""Tenantry: the multi-tenant backend. These are the public names; everything else may change.

Each is loaded when it is first asked for, so that a command that needs none of it starts at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenantry.lazy import names_from

if TYPE_CHECKING:
    from tenantry.app import Tenantry
    from tenantry.context import Call, Ctx, Next, Person, Visitor
    from tenantry.db import Sql, Statement, Transaction, changes, sql
    from tenantry.dispatch import ResponseInfo, ResponseMeta
    from tenantry.errors import (
        BadRequest,
        Conflict,
        Forbidden,
        NotFound,
        PaymentRequired,
        PreconditionFailed,
        Problem,
        RpcError,
        TenantryError,
        TooManyRequests,
        Unauthorized,
    )  # fmt: skip
    from tenantry.rpc import (
        UNSET,
        BigInt,
        Deferred,
        Doc,
        Field,
        File,
        Form,
        Jsonl,
        Message,
        Meta,
        Octets,
        Page,
        Record,
        Router,
        Sse,
        Tracked,
        Unset,
        WebSockets,
        Whole,
    )  # fmt: skip
    from tenantry.settings import Secret, Settings

_ROOMS = {
    "app": ("Tenantry",),
    "context": ("Call", "Ctx", "Next", "Person", "Visitor"),
    "dispatch": ("ResponseInfo", "ResponseMeta"),
    "db": ("Sql", "Statement", "Transaction", "changes", "sql"),
    "errors": (
        "BadRequest", "Conflict", "Forbidden", "NotFound", "PaymentRequired", "PreconditionFailed", "Problem", "RpcError",
        "TenantryError", "TooManyRequests", "Unauthorized",
    ),
    "rpc": (
        "UNSET", "BigInt", "Deferred", "Doc", "Field", "File", "Form", "Jsonl", "Message",
        "Meta", "Octets", "Page", "Record", "Router", "Sse",
        "Tracked", "Unset", "WebSockets", "Whole",
    ),
    "settings": ("Secret", "Settings"),
}  # fmt: skip
_HOMES = {name: f"tenantry.{room}" for room, names in _ROOMS.items() for name in names}

__version__ = "0.1.0"
__all__ = [
    "UNSET", "BadRequest", "BigInt", "Call", "Conflict", "Ctx", "Deferred", "Doc", "Field", "File", "Forbidden", "Form", "Jsonl", "Message",
    "Meta", "Next", "NotFound", "Octets", "Page", "PaymentRequired", "Person", "PreconditionFailed", "Problem", "Record", "ResponseInfo",
    "ResponseMeta", "Router", "RpcError", "Secret", "Settings", "Sql", "Sse", "Statement", "Tenantry", "TenantryError",
    "TooManyRequests", "Tracked", "Transaction", "Unauthorized", "Unset", "Visitor", "WebSockets", "Whole", "changes", "sql",
]  # fmt: skip

__getattr__ = names_from(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])

"""The words that all rooms share, as pure values: who calls, where, and as what.

Nothing here does I/O. A `Credential` is what a request presents; a `Membership` is what the database made of it.
"""

from __future__ import annotations

from typing import Literal, NewType
from uuid import UUID

from msgspec import Struct

TenantId = NewType("TenantId", UUID)
UserId = NewType("UserId", UUID)
IdentityId = NewType("IdentityId", UUID)

Role = Literal["owner", "admin", "member"]
ROLES: tuple[Role, ...] = ("owner", "admin", "member")
"""From the strongest to the weakest."""


class Credential(Struct, frozen=True):
    """What a request presents. `token` is a secret: it goes to PostgreSQL as a bind value and nowhere else."""

    token: bytes
    source: Literal["bearer", "cookie", "api_key"]

    def __repr__(self) -> str:
        return f"Credential(•••, {self.source})"


class Membership(Struct, frozen=True):
    """What `tenantry.enter` resolved a credential to, for one transaction."""

    tenant_id: TenantId
    user_id: UserId
    identity_id: IdentityId
    role: Role

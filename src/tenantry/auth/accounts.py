"""Sign-in's statements: one trip each over the accounts' pool, whose login has functions and no tables (tenancy/sql/0014)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from tenantry.db import Pool

Limit = tuple[str, int, int, int]
"""Key of the sender, how many, in how many seconds, and what this time counts; 0 only looks."""


class SessionRow(Struct, frozen=True):
    """A live session with its person, and the tenant that it is in."""

    identity_id: UUID
    name: str | None
    email: str
    image: str | None
    expires: datetime
    user_id: UUID | None
    role: str | None
    tenant_id: UUID | None
    slug: str | None
    tenant_name: str | None


class SignedIn(Struct, frozen=True):
    """What became of a sign-in: "ok", "linked", or Auth.js' error code."""

    outcome: str
    is_new: bool
    expires: datetime | None
    reason: str | None
    linked_of: str | None = None
    """The address of the person who has a further way to sign in now, and is told so."""


class Accounts:
    """The functions of tenantry_auth."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def wait_of(self, limits: Sequence[Limit]) -> int:
        """Count, and give the seconds that the sender must wait; 0: none."""
        wanted = [dict(zip(("key", "most", "seconds", "cost"), one, strict=True)) for one in limits]
        rows = await self.pool.fetch("select tenantry.take_limits($1)", json.dumps(wanted))
        return rows[0][0]

    async def note(self, action: str, reason: str, visit: str) -> None:
        """A line of the trail about nobody in particular."""
        await self.pool.fetch("select tenantry.note($1, $2, $3)::text", action, reason, visit)

    async def session(self, token: bytes, ages: tuple[int, int, int]) -> SessionRow | None:
        """The session, slid on if it is due; None for one that is over or never was."""
        rows = await self.pool.fetch(
            "select identity_id, name, email, image, expires, user_id, role, tenant_id, slug, tenant_name"
            "  from tenantry.read_session($1, $2::text::integer, $3::text::integer, $4::text::integer)",
            token,
            *(str(age) for age in ages),
        )
        return SessionRow(*rows[0]) if rows else None

    async def sign_in(self, facts: dict[str, Any], new: bytes, old: bytes | None, visit: str) -> SignedIn:
        """A provider's account becomes a session."""
        rows = await self.pool.fetch(
            "select outcome, is_new, expires, reason, linked_of from tenantry.sign_in($1, $2, $3, $4)",
            json.dumps(facts), new, old, visit,
        )  # fmt: skip
        return SignedIn(*rows[0])

    async def finish_email(self, facts: dict[str, Any], new: bytes, old: bytes | None, visit: str) -> SignedIn:
        """A link or a code becomes a session, once."""
        rows = await self.pool.fetch(
            "select outcome, is_new, expires, reason from tenantry.finish_email($1, $2, $3, $4)",
            json.dumps(facts), new, old, visit,
        )  # fmt: skip
        return SignedIn(*rows[0])

    async def sign_out(self, token: bytes, visit: str) -> None:
        """End the session; one that is over already is well so."""
        await self.pool.fetch("select tenantry.sign_out($1, $2)", token, visit)

    async def begin_email(
        self, address: str, token_hash: bytes, code_hash: bytes, seconds: int, sign_up: str, visit: str
    ) -> tuple[str, bool]:
        """Keep a link and a code: their id, and whether a mail is to go out."""
        rows = await self.pool.fetch(
            "select id::text, is_to_send from tenantry.begin_email($1, $2, $3, $4::text::integer, $5, $6)",
            address, token_hash, code_hash, str(seconds), sign_up, visit,
        )  # fmt: skip
        return rows[0]

    async def peek_email(self, address: str, hashes: Sequence[bytes]) -> bool:
        """Whether a link would sign in."""
        rows = await self.pool.fetch("select tenantry.peek_email($1, $2)", address, ",".join(h.hex() for h in hashes))
        return rows[0][0]

    async def switch(self, token: bytes, new: bytes, tenant: str, visit: str) -> datetime:
        """Go on in another tenant under a new token; the new session's end. Raises Forbidden, TenantSuspended, Unauthorized."""
        rows = await self.pool.fetch(
            "select expires from tenantry.switch_tenant($1, $2, $3, $4)", token, new, tenant, visit
        )
        return rows[0][0]

    async def peek_invitation(self, token_hash: bytes) -> tuple[str, str, str] | None:
        """What an invitation is to: tenant, address, role; None for one that is no more."""
        rows = await self.pool.fetch("select tenant_name, email, role from tenantry.peek_invitation($1)", token_hash)
        return rows[0] if rows else None

    async def accept_invitation(
        self, token: bytes, token_hash: bytes, new: bytes, visit: str
    ) -> tuple[str, datetime | None]:
        """Use it: "ok", "other_address" or "gone", and the new session's end. Raises Unauthorized."""
        rows = await self.pool.fetch(
            "select outcome, expires from tenantry.accept_invitation($1, $2, $3, $4)", token, token_hash, new, visit
        )
        return rows[0]

    async def seal(self) -> int:
        """Seal the closed lines of the trail; how many."""
        rows = await self.pool.fetch("select tenantry.audit_seal()")
        return rows[0][0]

    async def secret_in_use(self, mark: str) -> float:
        """Note that the secret of this mark signs; the seconds for which it has."""
        rows = await self.pool.fetch("select extract(epoch from tenantry.secret_in_use($1))::float8", mark)
        return rows[0][0]

    async def clean(self, most: int) -> int:
        """Delete what is over, of each kind at most so many; how many of the kind that had most."""
        rows = await self.pool.fetch("select tenantry.clean_sign_in($1::text::integer)", str(most))
        return rows[0][0]

    async def keys_used(self, keys: Sequence[tuple[str, str]]) -> int:
        """Note the use of keys, by id and SHA-256 in hex; how many there are."""
        rows = await self.pool.fetch("select tenantry.keys_used($1)", json.dumps(keys))
        return rows[0][0]

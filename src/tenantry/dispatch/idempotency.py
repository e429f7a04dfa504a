"""`Idempotency-Key`: a mutation that is sent twice with one key is done once, and answers twice.

The key is written in the mutation's own transaction, so it is there exactly when the mutation was committed: after an unknown
outcome the same request with the same key is the safe retry. Kept for 24 hours, a member's own; of the request only a hash.
A request without the header pays nothing for this.

A handler with blocks (`ctx.transaction()`) has the key in its first block that commits, and the answer in a transaction after the
last: what has a key and no answer is under way or broke off, and is not begun again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from typing import TYPE_CHECKING, Any

from msgspec import Raw, Struct

from tenantry.db import Session, Transaction
from tenantry.errors import Conflict, KeyReused, PreconditionFailed, TenantryError

if TYPE_CHECKING:
    from tenantry.dispatch.visit import Visit
    from tenantry.rpc import Call
    from tenantry.rpc.codec import Codec

log = logging.getLogger("tenantry.request")

MAX_ANSWER_BYTES = 1 << 20
SWEEP_CHANCE = 0.02
"""One use in fifty sweeps its tenant's old keys, a hundred at most."""

NOT_KEPT = PreconditionFailed("This procedure's answer cannot be kept: call it without an Idempotency-Key")

UNFINISHED = (
    "A request with this Idempotency-Key was begun and has no answer: it is under way, or broke off after a part of it was committed. "
    "Send it again later; if this goes on, look at what was done before you use another key"
)

_KEY = """pg_catalog.hashtextextended(
    public.get_current_tenant_id()::text || tenantry.user_id()::text || pg_catalog.encode($1::bytea, 'hex'), 1)"""
LOCK = f"select pg_catalog.pg_try_advisory_xact_lock({_KEY})"
WAIT = f"select pg_catalog.pg_advisory_xact_lock({_KEY})"
FIND = """
select request_hash, answer, created_at < pg_catalog.now() - interval '1 day' as is_old
  from tenantry.idempotency_keys where key_hash = $1
"""
ADD = """
insert into tenantry.idempotency_keys as k (key_hash, request_hash) values ($1, $2)
    on conflict on constraint idempotency_keys_pkey
    do update set request_hash = excluded.request_hash, answer = null, created_at = pg_catalog.now()
"""
KEEP = "update tenantry.idempotency_keys set answer = $2 where key_hash = $1"
SWEEP = """
delete from tenantry.idempotency_keys
 where (tenant_id, user_id, key_hash) in (
       select tenant_id, user_id, key_hash from tenantry.idempotency_keys
        where created_at < pg_catalog.now() - interval '1 day' limit 100)
"""


class Stored(Struct, frozen=True):
    """An answer that was given before: the result as it went out."""

    body: bytes

    def leaf(self, codec: Codec) -> Any:
        """The same as a part of a line."""
        return codec.loose_leaf(codec.loaded(self.body)) if not codec.is_plain else Raw(self.body)


class _Row(Struct):
    request_hash: bytes
    answer: bytes | None
    is_old: bool


class Keeper:
    """The key of one call, in the first transaction of its session."""

    def __init__(self, session: Session, key: str, visit: Visit, call: Call, index: int) -> None:
        self.session = session
        # In a batch each call has its own place under the request's key.
        self.key = hashlib.sha256(f"{index}:{key}".encode()).digest()
        raw = b"" if call.raw is None else bytes(call.raw)
        transformer = (visit.place.mount.transformer or "").encode()
        self.request = hashlib.sha256(b"\0".join((call.path.encode(), transformer, raw))).digest()
        self.block: Transaction | None = None
        """The block that the key is written in."""
        self.is_kept = False
        """Whether a block with the key is committed."""

    async def begin(self) -> Stored | None:
        """Take the key: the answer that it has already, or None when the mutation is to be done. Raises Conflict, KeyReused."""
        stored = await self._take(self.session)
        if stored is None:
            # The key's own statements are none of the handler's: it may go on with blocks, and the first one has the key.
            self.session.made.clear()
            self.session.rider = self
        return stored

    async def _take(self, session: Session | Transaction, *, waits: bool = False) -> Stored | None:
        if waits:
            await session.run(WAIT, self.key)
        elif not await session.one(bool, LOCK, self.key):
            message = "A request with this Idempotency-Key is under way; wait for its answer, or send it again later"
            raise Conflict(message)
        row = await session.maybe(_Row, FIND, self.key)
        if row is not None and not row.is_old:
            if row.request_hash != self.request:
                raise KeyReused
            if row.answer is None:
                raise Conflict(UNFINISHED)
            return Stored(row.answer)
        await session.run(ADD, self.key, self.request)
        return None

    async def enter(self, block: Transaction, *, is_handed: bool) -> None:
        """A block begins: the key is in it, in another, or goes into it now because the one before was undone."""
        if is_handed:
            self.block = block
        elif self.block is None and not self.is_kept:
            self.block = block
            # It waits: the transaction before, which is being undone, may still have the lock.
            if await self._take(block, waits=True) is not None:
                raise Conflict(UNFINISHED)

    def left(self, block: Transaction, *, is_kept: bool) -> None:
        """A block is over."""
        if block is self.block:
            self.block = None
            self.is_kept = is_kept

    async def end(self, body: Any) -> None:
        """Keep the answer: in the same transaction as what the handler wrote, or after its blocks."""
        is_fit = isinstance(body, bytes) and len(body) <= MAX_ANSWER_BYTES
        if not self.session.blocks:
            if not is_fit:
                raise NOT_KEPT
            await self._keep(self.session, body)
        elif is_fit and self.is_kept:
            await asyncio.shield(self._keep_after(body))

    async def _keep_after(self, body: bytes) -> None:
        after = Transaction(self.session.pool, self.session.entry)
        try:
            await self._keep(after, body)
            await after.finish()
        except TenantryError as error:  # it is done, and its caller has the answer: only a second try will not have it
            after.abandon()
            log.warning("the answer of %s could not be kept under its key: %s", after.entry.procedure, error.code)

    async def _keep(self, session: Session | Transaction, body: bytes) -> None:
        await session.run(KEEP, self.key, body)
        if random.random() < SWEEP_CHANCE:  # noqa: S311 - when to sweep is no secret
            await session.run(SWEEP)

"""`Idempotency-Key`: a mutation that is sent twice with one key is done once, and answers twice.

The key is written in the mutation's own transaction, so it is there exactly when the mutation was committed: after an unknown
outcome the same request with the same key is the safe retry. Kept for 24 hours, a member's own; of the request only a hash.
A request without the header pays nothing for this.
"""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING, Any

from msgspec import Raw, Struct

from tenantry.errors import Conflict, KeyReused, PreconditionFailed

if TYPE_CHECKING:
    from tenantry.db import Session
    from tenantry.dispatch.visit import Visit
    from tenantry.rpc import Call
    from tenantry.rpc.codec import Codec

MAX_ANSWER_BYTES = 1 << 20
SWEEP_CHANCE = 0.02
"""One use in fifty sweeps its tenant's old keys, a hundred at most."""

NOT_KEPT = PreconditionFailed("This procedure's answer cannot be kept: call it without an Idempotency-Key")

LOCK = """
select pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended(
    public.get_current_tenant_id()::text || tenantry.user_id()::text || pg_catalog.encode($1::bytea, 'hex'), 1))
"""
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
    """The key of one call, in the transaction of its session."""

    def __init__(self, session: Session, key: str, visit: Visit, call: Call, index: int) -> None:
        self.session = session
        # In a batch each call has its own place under the request's key.
        self.key = hashlib.sha256(f"{index}:{key}".encode()).digest()
        raw = b"" if call.raw is None else bytes(call.raw)
        transformer = (visit.place.mount.transformer or "").encode()
        self.request = hashlib.sha256(b"\0".join((call.path.encode(), transformer, raw))).digest()

    async def begin(self) -> Stored | None:
        """Take the key: the answer that it has already, or None when the mutation is to be done. Raises Conflict, KeyReused."""
        session = self.session
        if not await session.one(bool, LOCK, self.key):
            message = "A request with this Idempotency-Key is under way; wait for its answer, or send it again later"
            raise Conflict(message)
        row = await session.maybe(_Row, FIND, self.key)
        if row is not None and not row.is_old:
            if row.request_hash != self.request:
                raise KeyReused
            if row.answer is not None:
                return Stored(row.answer)
        await session.run(ADD, self.key, self.request)
        return None

    async def end(self, body: Any) -> None:
        """Keep the answer, in the same transaction as what the handler wrote."""
        if not isinstance(body, bytes) or len(body) > MAX_ANSWER_BYTES:
            raise NOT_KEPT
        await self.session.run(KEEP, self.key, body)
        if random.random() < SWEEP_CHANCE:  # noqa: S311 - when to sweep is no secret
            await self.session.run(SWEEP)

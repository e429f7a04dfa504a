"""A batch that is answered line by line: the head at once, each result when it is ready, what comes later when it comes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from tenantry.dispatch.exchange import NO_STORE, Exchange
from tenantry.dispatch.held import Held, watched
from tenantry.dispatch.idempotency import Stored
from tenantry.dispatch.road import add_meta
from tenantry.errors import Unauthorized
from tenantry.http import Stream
from tenantry.rpc import Answer
from tenantry.rpc.later import ITERABLE, PROMISE, Later, StreamLike, split
from tenantry.rpc.lines import FAILED, FULFILLED, PING, REJECTED, YIELDED, Lines

if TYPE_CHECKING:
    from tenantry.dispatch.run import Run
    from tenantry.rpc import Call, Procedure


class LineStream(Exchange):
    """A request of `httpBatchStreamLink`."""

    __slots__ = ("held", "lines", "unsettled")

    def prepare(self, calls: list[Call]) -> None:
        """Send the head before anything runs."""
        self.encodes_plainly = False
        self.unsettled = len(calls)
        for call in calls:
            if call.error is not None and "allow" in call.error.data:
                self.allow(str(call.error.data["allow"]))
        self.is_private = any(call.procedure is not None and call.procedure.scope != "public" for call in calls)
        self.lines = Lines(self.place.codec)
        self.held = Held()
        content_type = self.place.mount.jsonl.content_type.encode("latin-1")
        headers = self.head((b"content-type", content_type))
        headers.append((b"x-accel-buffering", b"no"))
        status = add_meta(self.road, headers, 200, self.info(is_eager=True))
        self.held.ping(self.place.jsonl_pings, PING)
        self.held.write(self.lines.head(len(calls)))
        self.respond(Stream(status, headers, self.held.opened))

    def caching(self) -> tuple[bytes, bytes] | None:
        """Nothing is known yet of what will be answered."""
        return NO_STORE if self.is_private else None

    # ------------------------------------------------------------------ what a Run asks of its host

    def encode(self, procedure: Procedure[..., Any], value: Any) -> Any:
        if not self.place.is_plain and procedure.may_defer and split(value)[1]:
            raise StreamLike
        return self.place.codec.leaf(procedure, value)

    def succeeded(self, run: Run, body: Any) -> None:
        if isinstance(body, Answer):
            body = Raw(body.fields)
        elif isinstance(body, Stored):
            body = body.leaf(self.place.codec)
        line, _ = self.lines.result(run.index, body, [])
        self.held.write(line)
        self.settle(run)

    def failed(self, run: Run, error: BaseException, facts: dict[str, Any]) -> None:
        if self.is_done:
            return
        self.held.write(self.lines.failure(run.index, facts))
        self.settle(run)

    async def deliver(self, run: Run, value: Any) -> None:
        here, later = split(value)
        if not later:
            message = f"{run.call.path}: a value that comes later stands too deep; only direct members of a result may"
            raise TypeError(message)
        line, declared = self.lines.result(run.index, self.leaf(here, later), later)
        self.held.write(line)
        open_chunks: dict[int, Later] = {}
        is_over = False

        def session_over() -> None:
            nonlocal is_over
            is_over = True
            if run.task is not None:
                run.task.cancel()

        leave = watched(run, session_over)
        try:
            await self.pump_all(run, declared, open_chunks)
        except asyncio.CancelledError:
            if not is_over:
                raise
            facts = run.facts(Unauthorized())
            for chunk, part in open_chunks.items():
                self.held.write(self.lines.broken(chunk, REJECTED if part.kind == PROMISE else FAILED, facts))
        finally:
            leave()
        self.settle(run)

    def settle(self, run: Run) -> None:
        """One call less is open: the next of the batch begins, or the answer is complete."""
        if self.is_done:
            return
        self.unsettled -= 1
        if self.unsettled:
            if run.session is not None:
                self.start_next()
            return
        self.is_done = True
        if self.late is not None:
            self.late.cancel()
        self.held.end()

    def cancel(self) -> None:
        super().cancel()
        if self.held.turn is not None:
            self.held.turn.leave()

    # ------------------------------------------------------------------ what comes later

    def leaf(self, here: Any, later: list[Later]) -> Any:
        """The part that is here, encoded as far as a line needs it."""
        if later and later[0].key is None:
            return 0
        return self.place.codec.loose_leaf(here)

    async def pump_all(self, run: Run, declared: list[tuple[int, Later]], open_chunks: dict[int, Later]) -> None:
        """Wait for every part, side by side."""
        if not declared:
            return
        if len(declared) == 1:
            await self.pump(run, *declared[0], open_chunks)
            return
        async with asyncio.TaskGroup() as group:
            for chunk, part in declared:
                group.create_task(self.pump(run, chunk, part, open_chunks))

    async def pump(self, run: Run, chunk: int, part: Later, open_chunks: dict[int, Later]) -> None:
        """Write one part when it comes. What it raises is its own failure."""
        open_chunks[chunk] = part
        try:
            if part.kind == ITERABLE:
                await self.pump_items(run, chunk, part, open_chunks)
            else:
                await self.settled(run, chunk, FULFILLED, await part.source, open_chunks)
        except Exception as error:
            self.held.write(self.lines.broken(chunk, REJECTED if part.kind == PROMISE else FAILED, run.facts(error)))
        open_chunks.pop(chunk, None)

    async def pump_items(self, run: Run, chunk: int, part: Later, open_chunks: dict[int, Later]) -> None:
        items = aiter(part.source)
        try:
            async for item in items:
                await self.settled(run, chunk, YIELDED, item, open_chunks)
                await self.held.drained()
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()
        self.held.write(self.lines.returned(chunk))

    async def settled(self, run: Run, chunk: int, status: int, value: Any, open_chunks: dict[int, Later]) -> None:
        here, later = split(value)
        line, declared = self.lines.settled(chunk, status, self.leaf(here, later), later)
        self.held.write(line)
        await self.pump_all(run, declared, open_chunks)

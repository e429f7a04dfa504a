"""What a router takes, and what it refuses where it is defined."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tenantry import File, Form, Octets, Router, Tracked, Visitor, Whole
from tenantry.errors import HandlerShape


def test_a_subscription_is_an_async_generator() -> None:
    router = Router("notes")

    @router.subscription(public=True)
    async def added(ctx: Visitor[Any], last_event_id: str | None = None) -> AsyncIterator[Tracked[int]]:
        yield Tracked("1", 1)

    assert (added.type, added.path, added.is_generator, added.yields) == (
        "subscription",
        "notes.added",
        True,
        Tracked[int],
    )
    assert added.input.wire == ["lastEventId"]


def test_a_subscription_that_does_not_yield_is_refused() -> None:
    router = Router("notes")
    with pytest.raises(HandlerShape, match="async def with yield"):

        @router.subscription  # type: ignore[arg-type]
        async def added(ctx: Visitor[Any]) -> int:
            return 1


def test_what_a_procedure_takes_is_known_by_its_parameters() -> None:
    router = Router("up", case="as_written")

    @router.mutation
    async def file(ctx: Visitor[Any], note: int, file: File) -> None: ...

    @router.mutation
    async def form(ctx: Visitor[Any], form: Form) -> None: ...

    @router.mutation(max_bytes=5)
    async def octets(ctx: Visitor[Any], body: Octets) -> None: ...

    @router.query
    async def whole(ctx: Visitor[Any], value: Whole[Any]) -> None: ...

    @router.query
    async def nothing(ctx: Visitor[Any]) -> None: ...

    kinds = [(p.input.kind, p.input.stream, p.input.names, p.max_bytes) for p in router.procedures]
    assert kinds == [
        ("form", "file", ["note"], None), ("form", "form", [], None), ("octets", "body", [], 5),
        ("whole", None, ["value"], None), ("none", None, [], None),
    ]  # fmt: skip


def test_two_whole_inputs_are_refused() -> None:
    router = Router("up")
    with pytest.raises(HandlerShape, match="whole input"):

        @router.mutation
        async def both(ctx: Visitor[Any], body: Octets, more: int) -> None: ...

    with pytest.raises(HandlerShape, match="more than one file"):

        @router.mutation
        async def two(ctx: Visitor[Any], first: File, second: File) -> None: ...

"""A patch with a field that must be given is refused where the procedure is written: it would be written each time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

import tenantry
from tenantry import UNSET, Ctx, Record, Statement, Tenantry, Unset, changes, sql
from tenantry.errors import HandlerShape


class Row(Record):
    id: UUID


class Good(Record):
    body: str | Unset = UNSET


class Bad(Record):
    body: str | Unset = UNSET
    version: int


@dataclass
class BadClass:
    version: int


@pytest.mark.parametrize(("kind", "field"), [(Good, None), (Bad, "Bad.version"), (BadClass, "BadClass.version")])
def test_a_required_field_in_a_patch_is_refused_at_start(kind: Any, field: str | None) -> None:
    things = Tenantry().router("things")

    def update(ctx: Ctx, id: UUID, patch: Any) -> Statement[Row]:
        return ctx.db.one(Row, sql("update things set {} where id = {} returning id", changes(patch), id))

    async def by_module(ctx: Ctx, id: UUID, patch: Any) -> Row:
        return await ctx.db.one(
            Row, sql("update things set {} where id = {} returning id", tenantry.changes(patch), id)
        )

    async def whole(ctx: Ctx, thing: Any, patch: Good) -> int:
        return await ctx.db.run(sql("update things set {} where id = {}", changes(patch), thing.version))

    update.__annotations__["patch"] = by_module.__annotations__["patch"] = whole.__annotations__["thing"] = kind
    things.mutation(whole)  # what is not handed to changes() is no patch
    for handler in (update, by_module):
        if field is None:
            things.mutation(handler)
            continue
        with pytest.raises(HandlerShape) as refused:
            things.mutation(handler)
        assert f"{field} is required, and changes(patch) writes what was given" in str(refused.value)
        assert "rpc/test_patches.py:" in str(refused.value)
        assert "version: … | Unset = UNSET" in str(refused.value)

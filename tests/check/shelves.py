"""A file of the shop's without a procedure: its statements are checked all the same."""

from __future__ import annotations

from tenantry import Ctx


async def count(ctx: Ctx) -> int:
    return await ctx.db.one(int, "select count(*) from items where shelf is null")

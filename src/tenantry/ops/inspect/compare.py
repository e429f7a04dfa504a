"""Two snapshots of a heap against each other: what grew. Pure."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Growth(Struct, frozen=True):
    """One type, or one holder: how many more, how many bytes more, how many there are now."""

    name: str
    more: int
    bytes: int
    now: int


class Comparison(Struct, frozen=True):
    """From the earlier snapshot to the later one."""

    seconds: float
    rss: int
    bytes: int
    types: list[Growth]
    holders: list[Growth]
    is_same_process: bool


def compare(earlier: dict[str, Any], later: dict[str, Any]) -> Comparison:
    """What grew, the biggest growth first; what shrank comes last."""
    before, after = earlier["types"], later["types"]
    types = [
        Growth(name, now[0] - was[0], now[1] - was[1], now[0])
        for name in {*before, *after}
        for was, now in ((before.get(name, (0, 0)), after.get(name, (0, 0))),)
        if now[1] != was[1] or now[0] != was[0]
    ]
    held = {one["name"]: one for one in earlier["holders"]}
    holders = [
        Growth(one["name"], one["elements"] - was["elements"], one["bytes"] - was["bytes"], one["elements"])
        for one in later["holders"]
        for was in (held.get(one["name"], {"elements": 0, "bytes": 0}),)
        if one["elements"] != was["elements"]
    ]
    return Comparison(
        round(later["at"] - earlier["at"], 1), later["rss"] - earlier["rss"],
        sum(now[1] for now in after.values()) - sum(was[1] for was in before.values()),
        sorted(types, key=lambda one: (-one.bytes, -one.more)), sorted(holders, key=lambda one: -one.more),
        earlier["pid"] == later["pid"],
    )  # fmt: skip

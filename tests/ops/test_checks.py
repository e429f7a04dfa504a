"""The checks that are pure: from figures to a finding."""

from __future__ import annotations

from math import inf
from typing import Any

import msgspec
import pytest

from tenantry.db.migrate import Migration
from tenantry.ops.health.access import Access
from tenantry.ops.health.check import Check, overall
from tenantry.ops.health.figures import Figures, Memory
from tenantry.ops.health.loop import check_loop
from tenantry.ops.health.memory import check_memory, memory_limit, resident_bytes
from tenantry.ops.health.migrations import compare
from tenantry.ops.health.pool import check_pool
from tenantry.settings import Secret

UP, DEGRADED, DOWN = Check("up", ""), Check("degraded", ""), Check("down", "")


@pytest.mark.parametrize(
    ("checks", "status"),
    [
        ([], "healthy"),
        ([UP, UP], "healthy"),
        ([UP, DEGRADED], "degraded"),
        ([DEGRADED, DOWN], "unhealthy"),
        ([UP, DOWN], "unhealthy"),
    ],
)
def test_the_worst_check_decides(checks: list[Check], status: str) -> None:
    assert overall({str(number): check for number, check in enumerate(checks)}) == status


@pytest.mark.parametrize(("resident", "status"), [(80, "up"), (81, "degraded"), (300, "degraded")])
def test_memory_degrades_above_four_fifths_and_is_never_down(resident: int, status: str) -> None:
    assert check_memory([Memory(10, 100), Memory(resident, 100)]).status == status


def test_this_process_has_a_size_below_its_limit() -> None:
    assert 1 << 20 < resident_bytes() < memory_limit()


def worker(**over: Any) -> Figures:
    plain = Figures(0.5, 10, 0, False, inf, 0.0, 0.0, 0.1, False)
    return msgspec.structs.replace(plain, **over)


@pytest.mark.parametrize(
    ("used", "is_full", "given_up_ago", "status"),
    [
        (0.8, False, inf, "up"),
        (0.81, False, inf, "degraded"),
        (1.0, True, inf, "degraded"),
        (1.0, True, 15.0, "degraded"),
        (1.0, True, 14.9, "down"),
        (0.5, False, 1.0, "up"),
    ],
)
def test_the_pool_is_down_when_it_is_full_and_a_request_gave_up_in_the_last_tick(
    used: float, is_full: bool, given_up_ago: float, status: str
) -> None:
    busy = worker(used=used, is_full=is_full, given_up_ago=given_up_ago)
    assert check_pool([worker(), busy], 15.0).status == status, "the worst worker decides"


@pytest.mark.parametrize(
    ("late", "silent", "status"),
    [(250.0, 0.2, "up"), (251.0, 0.2, "degraded"), (4900.0, 4.9, "degraded"), (5000.0, 5.0, "down")],
)
def test_a_late_loop_degrades_and_one_that_stands_still_is_down(late: float, silent: float, status: str) -> None:
    assert check_loop([worker(), worker(worst_lag_ms=late, silent_seconds=silent)]).status == status


@pytest.mark.parametrize(
    ("token", "peer", "headers", "details", "metrics"),
    [
        (None, "127.0.0.1", [], True, True),
        (None, "::1", [], True, True),
        (None, "::ffff:127.0.0.1", [], True, True),
        (None, "192.0.2.1", [], False, True),
        (None, None, [], False, True),
        (None, "127.0.0.1", [(b"x-forwarded-for", b"192.0.2.1")], False, True),
        ("ops", "127.0.0.1", [], False, False),
        ("ops", "192.0.2.1", [(b"authorization", b"Bearer ops")], True, True),
        ("ops", "127.0.0.1", [(b"authorization", b"Bearer wrong")], False, False),
        ("ops", "127.0.0.1", [(b"authorization", b"Basic ops")], False, False),
    ],
)
def test_details_are_for_loopback_or_the_token_and_metrics_need_the_token_if_there_is_one(
    token: str | None, peer: str | None, headers: list[tuple[bytes, bytes]], details: bool, metrics: bool
) -> None:
    access = Access(None if token is None else Secret(token))
    assert access.may_see_details(headers, peer) is details
    assert access.may_see_metrics(headers) is metrics


def test_migrations_are_compared_by_name_and_checksum() -> None:
    first, second = (Migration(name, f"select '{name}'", "built-in") for name in ("a", "b"))
    whole = {f.key: f.sha256.hex() for f in (first, second)}
    assert compare([first, second], whole).status == "up"
    assert compare([first, second], {first.key: first.sha256.hex()}).details["waiting"] == ["b"]
    assert compare([first, second], {**whole, second.key: "00"}).details["changed"] == ["b"]
    assert compare([first], whole).details["newer"] == ["b"]
    assert compare([first], {first.key: whole[first.key], ("application", "b"): "00"}).status == "up"

"""The checks that are pure: from figures to a finding."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tenantry.db.migrate import Migration
from tenantry.ops.health.check import Check, overall
from tenantry.ops.health.memory import check_memory, memory_limit, resident_bytes
from tenantry.ops.health.migrations import compare
from tenantry.ops.health.pool import check_pool

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
    assert check_memory(resident, 100).status == status


def test_this_process_has_a_size_below_its_limit() -> None:
    assert 1 << 20 < resident_bytes() < memory_limit()


@pytest.mark.parametrize(
    ("used", "is_full", "given_up_ago", "status"),
    [
        (0.8, False, float("inf"), "up"),
        (0.81, False, float("inf"), "degraded"),
        (1.0, True, float("inf"), "degraded"),
        (1.0, True, 15.0, "degraded"),
        (1.0, True, 14.9, "down"),
        (0.5, False, 1.0, "up"),
    ],
)
def test_the_pool_is_down_when_it_is_full_and_a_request_gave_up_in_the_last_tick(
    used: float, is_full: bool, given_up_ago: float, status: str
) -> None:
    pulse = SimpleNamespace(used=used, size=10, waiting=0, is_full=is_full, seconds_since_given_up=lambda: given_up_ago)
    assert check_pool(pulse).status == status  # pyright: ignore[reportArgumentType] - what the check reads of a pulse


def test_migrations_are_compared_by_name_and_checksum() -> None:
    first, second = (Migration(name, f"select '{name}'", "built-in") for name in ("a", "b"))
    whole = {f.key: f.sha256.hex() for f in (first, second)}
    assert compare([first, second], whole).status == "up"
    assert compare([first, second], {first.key: first.sha256.hex()}).details["waiting"] == ["b"]
    assert compare([first, second], {**whole, second.key: "00"}).details["changed"] == ["b"]
    assert compare([first], whole).details["newer"] == ["b"]
    assert compare([first], {first.key: whole[first.key], ("application", "b"): "00"}).status == "up"

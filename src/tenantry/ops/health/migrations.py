"""The migrations check: does the database have the schema that this code was written for?

Over the same connection as the database check, right after it. Files are read once, when the worker opens: no disk in the
way of an answer. It is never down: a worker whose schema waits for a file still answers most of its requests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from tenantry.ops.health.check import Check
from tenantry.ops.health.connection import Refused, Unreachable

if TYPE_CHECKING:
    from tenantry.db.migrate import Migration
    from tenantry.ops.health.connection import OwnConnection, Row

UNKNOWN = Check("degraded", "Not known, since the database does not answer")


def question() -> bytes:
    """The statement of `migrations.sql`: (name, kind, checksum as hex) of what was applied."""
    return files("tenantry.ops.health").joinpath("migrations.sql").read_bytes()


async def check_migrations(
    connection: OwnConnection, ask: bytes, wanted: Sequence[Migration], *, within_seconds: float
) -> Check:
    """Degraded when a file waits, was edited after it was applied, or when Tenantry's own schema is newer than the code."""
    started = time.perf_counter()
    try:
        async with asyncio.timeout(within_seconds):
            rows = await connection.ask(ask)
    except (TimeoutError, Unreachable):
        return UNKNOWN
    except Refused:
        return Check("degraded", "The history of migrations cannot be read: tenantry db push")
    return compare(wanted, _history(rows), round((time.perf_counter() - started) * 1000, 3))


def compare(wanted: Sequence[Migration], applied: Mapping[tuple[str, str], str], took_ms: float = 0.0) -> Check:
    """What `applied`, (kind, name) → checksum as hex, says about the files that this code knows."""
    known = {file.key for file in wanted}
    waiting = [file.name for file in wanted if file.key not in applied]
    changed = [file.name for file in wanted if file.key in applied and applied[file.key] != file.sha256.hex()]
    # An application's files may be elsewhere than its code (a container without them): only our own are compared this way.
    newer = sorted(key[1] for key in applied if key[0] == "built-in" and key not in known)
    details = {"waiting": waiting, "changed": changed, "newer": newer}
    found = [
        f"{len(names)} {words}"
        for names, words in ((waiting, "not applied"), (changed, "edited after they were applied"), (newer, "newer than this code"))
        if names
    ]  # fmt: skip
    if found:
        return Check("degraded", f"Migrations: {', '.join(found)}", took_ms, details)
    return Check("up", "The schema is the one that this code was written for", took_ms, details)


def is_newer(check: Check) -> bool:
    """Whether the schema is newer than the code: such a worker should have no requests."""
    return bool(check.details.get("newer"))


def is_behind(check: Check) -> bool:
    """Whether a file waits to be applied, or nothing is known of it yet."""
    return check is UNKNOWN or bool(check.details.get("waiting"))


def _history(rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    texts = (tuple((value or b"").decode("utf-8", "replace") for value in row) for row in rows)
    return {(kind, name): sha256 for name, kind, sha256 in texts}

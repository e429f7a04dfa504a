"""`serve --reload`: a change of a file gives new workers, and new types for the front end, while the old ones still serve.

One worker is always in waiting, with its libraries loaded and without an application, so that a change costs the application's own import
and no more. What does not start (a syntax error, a clash of names) is shown, and the old code goes on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path

from msgspec import Struct

from tenantry.files import SHARED, write_whole

log = logging.getLogger("tenantry.supervisor")
SETTLE_MS = 50
"""An editor writes a file in several steps: what changes within this is one change."""


class Reloading(Struct, frozen=True):
    """What is followed: the application's folder; `types` is the file that its TypeScript goes to.

    `pushes`: migrations are applied as saved. Otherwise one that is being written is not applied half-way, and then called changed.
    """

    folder: Path
    types: Path | None = None
    pushes: bool = False


class Change(Struct, frozen=True):
    """Files that changed; `looks` when a migration or `.env` is among them: the database, which may be another one, is looked at first."""

    names: tuple[str, ...]
    looks: bool


async def changes(reloading: Reloading, stop: asyncio.Event) -> AsyncIterator[Change]:
    """Each change of a Python file, a migration or `.env`, until `stop`."""
    from watchfiles import DefaultFilter, awatch  # pyright: ignore[reportUnknownVariableType] - anyio, which it takes too, is not here

    class Ours(DefaultFilter):
        def __call__(self, change: object, path: str) -> bool:
            return (path.endswith((".py", ".sql")) or Path(path).name == ".env") and super().__call__(change, path)  # pyright: ignore[reportArgumentType] - the library's own enum

    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # what changed is told by name, once
    ours = Ours(ignore_paths=[reloading.folder / ".tenantry"])
    async for found in awatch(  # pyright: ignore[reportUnknownVariableType] - its anyio is not here
        reloading.folder, watch_filter=ours, stop_event=stop, debounce=SETTLE_MS * 4, step=SETTLE_MS
    ):
        names = tuple(sorted(str(Path(path).relative_to(reloading.folder)) for _, path in found))
        _forget_compiled(reloading.folder / name for name in names)
        yield Change(names, any(name.endswith((".sql", ".env")) for name in names))


def _forget_compiled(files: Iterable[Path]) -> None:
    """Python takes a compiled file for current by its source's size and whole second: a second save within one would not be read."""
    for file in files:
        if file.suffix == ".py":
            with suppress(OSError, NotImplementedError):
                Path(cache_from_source(str(file))).unlink(missing_ok=True)


async def write_types(app: str | None, path: Path) -> None:
    """The application's TypeScript into a file, if it changed; a process of its own, as the application has no place in this one."""
    command = [sys.executable, "-m", "tenantry.cli.main", "typescript", *([app] if app else [])]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},  # what is saved meanwhile shall not meet what this one compiled
    )  # fmt: skip
    text, why = await process.communicate()
    if process.returncode != 0:
        log.error("the types could not be written: %s", why.decode(errors="replace").strip()[-2000:])
        return
    try:
        if _put(path, text):
            log.info("%s written", path)
    except OSError as error:
        log.error("%s cannot be written: %s", path, error.strerror)  # noqa: TRY400 - the words are the cause


def _put(path: Path, text: bytes) -> bool:
    """Write a file in one step, unless it is so already."""
    if path.exists() and path.read_bytes() == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text, mode=SHARED)
    return True

"""What desk needs from outside, as stand-ins that reach nothing: a bucket in a folder, an issue tracker in memory."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from tenantry import File, Secret


class Bucket:
    """Files under a folder; a real one would be S3's."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    async def put(self, file: File) -> str:
        """Store a file as it comes, under a key of ours; a file's name is its sender's word, and no path."""
        key = uuid4().hex
        await asyncio.to_thread(self.folder.mkdir, parents=True, exist_ok=True)
        with (self.folder / key).open("wb") as out:
            async for chunk in file:
                await asyncio.to_thread(out.write, chunk)
        return key


class Tracker:
    """Issues by their idempotency key: `once` makes a second call give the first one's answer."""

    def __init__(self, token: Secret) -> None:
        self.token = token
        self.issues: dict[object, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.issues.clear()

    async def open_issue(self, body: str, *, once: object) -> str:
        """Open an issue, or give the one that was opened for `once` before."""
        del body
        await asyncio.sleep(0)
        return self.issues.setdefault(once, f"DESK-{len(self.issues) + 1}")

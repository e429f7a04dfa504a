"""The watcher's look at isolation itself: what `tenantry verify` calls a hole, and functions of the seal that nobody's migration changed.

Each minute, in a thread, over a connection that is opened for it and closed again: catalogues only. What a function's text was is
kept in `TENANTRY_HOME/watch/isolation.json`; it may change together with the history of migrations (`tenantry db push`), and
otherwise not. A look that fails says nothing: whether the database answers is the other probe's matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from typing import Any

import msgspec
from msgspec import Struct

from tenantry.files import write_whole
from tenantry.settings import Settings

EVERY_TICKS = 4
DEADLINE_SECONDS = 10.0
SHUTS_OUT = frozenset({"policy-missing"})
"""Holes by which rows become invisible: an outage, and no breach."""
log = logging.getLogger("tenantry.watcher")

FUNCTIONS = """
select p.oid::pg_catalog.regprocedure::text,
       pg_catalog.md5(pg_catalog.concat_ws('/', p.prosrc, pg_catalog.pg_get_function_sqlbody(p.oid), p.prosecdef, p.proconfig::text,
                                           p.provolatile, p.proleakproof, pg_catalog.pg_get_userbyid(p.proowner)))
  from pg_catalog.pg_proc p
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace
 where n.nspname = 'tenantry'
    or (n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and (p.prosecdef or p.proname = 'get_current_tenant_id'))
"""
HISTORY = """
select pg_catalog.md5(coalesce(pg_catalog.string_agg(pg_catalog.concat_ws('/', m.name, m.sha256::text), ',' order by m.name), ''))
  from tenantry.migrations m
"""


class Known(Struct):
    """The functions as they were when the history of migrations was this one."""

    history: str = ""
    functions: dict[str, str] = {}


class Isolation:
    """One look after another; `breaches` is what the last good one found."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.urls().platform
        self._path = settings.home / "watch" / "isolation.json"
        self._ticks = 0
        self._connection: Any = None
        self._looking: asyncio.Task[None] | None = None
        self.breaches: list[str] = []

    def tick(self) -> None:
        """Begin a look if one is due; it is not waited for."""
        is_due = self._ticks % EVERY_TICKS == 0
        self._ticks += 1
        if is_due and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self.look())

    async def look(self) -> None:
        """Look now. Never raises."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                holes, history, functions = await asyncio.to_thread(self._read)
            changed = self._changed(history, functions)
            said = {one.partition(": ")[0] for one in changed}
            self.breaches = [
                *(one for one in holes if one.partition(": ")[0].removeprefix("public.") not in said),
                *changed,
            ]
        except Exception as error:
            log.debug("isolation could not be looked at: %s", type(error).__name__)
        finally:
            self._hang_up()

    def _hang_up(self) -> None:
        """Wake the thread that reads: a server that is stopped never answers, and no timeout of its own would end that wait."""
        connection, self._connection = self._connection, None
        with contextlib.suppress(Exception):  # it may be closed already, by the thread
            if connection is not None:
                with socket.socket(fileno=os.dup(connection.fileno())) as wire:
                    wire.shutdown(socket.SHUT_RDWR)

    def _read(self) -> tuple[list[str], str, dict[str, str]]:
        import psycopg

        from tenantry.tenancy.verify import holes

        with psycopg.connect(
            self._url.reveal(), autocommit=True, connect_timeout=3, prepare_threshold=None, cursor_factory=psycopg.RawCursor,
        ) as connection:  # fmt: skip
            self._connection = connection
            connection.execute("set statement_timeout = '3s'")
            found = [f"{thing}: {wrong}" for name, thing, wrong, _ in holes(connection) if name not in SHUTS_OUT]
            functions: dict[str, str] = dict(connection.execute(FUNCTIONS).fetchall())
            row: Any = connection.execute(HISTORY).fetchone()
            return found, row[0], functions

    def _changed(self, history: str, functions: dict[str, str]) -> list[str]:
        """Functions that are not what they were, though no migration came.

        One that is gone shuts everybody out, which health says; one that is new is `holes`' matter.
        """
        known = self._recall()
        if known.history != history:
            self._remember(Known(history, functions))
            return []
        changed = [
            f"{name}: the function was replaced, and no migration did it"
            for name, text in known.functions.items()
            if functions.get(name, text) != text
        ]
        return sorted(changed)

    def _recall(self) -> Known:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Known)
        except (OSError, msgspec.DecodeError):
            return Known()

    def _remember(self, known: Known) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(OSError):
            write_whole(self._path, msgspec.json.encode(known))

    def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()

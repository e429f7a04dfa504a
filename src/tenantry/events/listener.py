"""The worker's one LISTEN connection: hears which topics moved, and says which moved here.

It signs in as tenantry_auth, which has no table, so whoever takes it over reads no row; payloads are salted keys, which tell nothing to
those who do not know tenant, topic and salt. What is lost while it is away, the hub's poll finds. NOTIFY goes out here and not in the
publishers' transactions: it takes a lock of the whole server at commit, behind which they would queue. Where no other worker has
subscribers, nothing goes out at all: those that have say so ("!") when they begin, when asked ("?"), and every few seconds.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tenantry.db import NotConnected, WireError, connect

if TYPE_CHECKING:
    from tenantry.settings import DatabaseUrl

log = logging.getLogger("tenantry.events")

CHANNEL = "tenantry_events"
_LISTEN = f"listen {CHANNEL}".encode()
_NOTIFY = f"select pg_catalog.pg_notify('{CHANNEL}', $1::text)".encode()
KEYS_AT_ONCE = 400
"""Of 16 characters each: a payload holds 8,000 bytes."""
MOST_KEYS = 20_000
"""That wait for the connection; beyond it the others' polls find what moved."""
LEAST_PAUSE, MOST_PAUSE = 0.05, 5.0
QUIET_SECONDS = 5.0
"""A connection that answers nothing for so long is dropped; a heartbeat goes out as often."""
PRESENT_SECONDS = 3 * QUIET_SECONDS
"""A worker that has not said for so long that it has subscribers has none, or is gone."""
_HERE, _ASK, _BYE = b"!", b"?", b"-"
_SYNC, _FATAL = 10, 7


class Listener:
    """Connects, and connects again, until closed."""

    def __init__(self, url: DatabaseUrl, heard: Callable[[list[bytes]], None], up: Callable[[], None]) -> None:
        """`heard(keys)` is called for every notification of others; `up()` after every connect: something may have been missed."""
        self.url = url
        self.heard = heard
        self.up = up
        self.is_up = False
        self.pid = 0
        self.has_subscribers = False
        self._others: dict[int, float] = {}
        self._words: list[bytes] = []
        self._keys: dict[bytes, None] = {}
        self._pg: Any = None
        self._fd = -1
        self._asked = 0
        self._lost: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect in the background."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._stay())

    async def close(self) -> None:
        """Say what is still to be said, if it can be, and end."""
        if self._task is None:
            return
        until = asyncio.get_running_loop().time() + 0.5
        while self.is_up and (self._keys or self._words or self._asked) and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.005)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def has_others(self) -> bool:
        """Whether any other worker wants to hear."""
        return bool(self._others)

    def tell(self, keys: list[bytes]) -> None:
        """Topics moved here: others hear of it. What comes while a message is under way goes in the next, so there are few."""
        if self._others and len(self._keys) < MOST_KEYS:
            self._keys.update(dict.fromkeys(keys))
            self._send()

    def serve(self, has_subscribers: bool) -> None:
        """Whether this worker wants to hear of anything."""
        if self.has_subscribers != has_subscribers:
            self.has_subscribers = has_subscribers
            self._say(_HERE if has_subscribers else _BYE)

    def _say(self, word: bytes) -> None:
        if self.is_up:
            self._words.append(word)
            self._send()

    async def _stay(self) -> None:
        pause = 0.0
        while True:
            try:
                await self._connect()
                pause = 0.0
                assert self._lost is not None  # made by _connect
                await self._watched(self._lost)
                log.warning("the connection that hears of events was lost; connecting again")
            except (NotConnected, WireError) as error:
                if not pause:
                    log.warning("no connection to hear of events: %s", error)
            finally:
                self._drop()
            pause = min(MOST_PAUSE, max(LEAST_PAUSE, pause * 2))
            await asyncio.sleep(random.uniform(0.2 * pause, pause))  # noqa: S311 - jitter is no secret

    async def _watched(self, lost: asyncio.Future[None]) -> None:
        """Until it is lost: a heartbeat, and whether the last one was answered."""
        while not lost.done():
            await asyncio.wait([lost], timeout=QUIET_SECONDS)
            if lost.done():
                return
            if self._asked > 0:
                return
            until = asyncio.get_running_loop().time() - PRESENT_SECONDS
            self._others = {pid: at for pid, at in self._others.items() if at > until}
            if self.has_subscribers:
                self._say(_HERE)
            else:
                self._ask(None, None)

    async def _connect(self) -> None:
        opened = await connect(self.url, enters=False)
        loop = asyncio.get_running_loop()
        self._pg, self._fd = opened.pg, opened.pg.socket
        self._lost = loop.create_future()
        if opened.is_pooled:
            log.warning(
                "DATABASE_DIRECT_URL is a pooler, which passes no notifications on: events come by polling, up to a second late"
            )
        self.pid = self._pg.backend_pid
        self._asked = 0
        loop.add_reader(self._fd, self._readable)
        self.is_up = True
        self._others = {}
        self._ask(_LISTEN, None)
        # Whoever has subscribers answers; and hears that this worker has.
        self._words = [_ASK, _HERE] if self.has_subscribers else [_ASK]

    def _drop(self) -> None:
        self.is_up = False
        if self._fd >= 0:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._fd)  # before finish(): the next connection may get the same number
            loop.remove_writer(self._fd)
            self._fd = -1
        pg, self._pg = self._pg, None
        if pg is not None:
            pg.finish()

    def _send(self) -> None:
        if not self.is_up or self._asked:
            return
        if self._words:
            self._ask(_NOTIFY, self._words.pop(0))
            return
        if not self._keys:
            return
        keys = list(self._keys)[:KEYS_AT_ONCE]
        for key in keys:
            del self._keys[key]
        self._ask(_NOTIFY, b"".join(key.hex().encode() for key in keys))

    def _ask(self, text: bytes | None, payload: bytes | None) -> None:
        """One statement, or a lone Sync, which is no transaction."""
        pg = self._pg
        try:
            if text is not None:
                pg.send_query_params(text, None if payload is None else [payload])
            pg.pipeline_sync()
            self._asked += 1
            if pg.flush():
                asyncio.get_running_loop().add_writer(self._fd, self._writable)
        except Exception:  # any error of libpq means that the connection is lost
            self._gone()

    def _writable(self) -> None:
        try:
            if not self._pg.flush():
                asyncio.get_running_loop().remove_writer(self._fd)
        except Exception:  # see above
            self._gone()

    def _readable(self) -> None:
        pg = self._pg
        try:
            pg.consume_input()
            self._results(pg)
            keys: list[bytes] = []
            while (notice := pg.notifies()) is not None:
                if notice.be_pid != self.pid and not self._is_word(notice.be_pid, notice.extra):
                    keys.extend(_keys_of(notice.extra))
        except Exception:  # see above
            self._gone()
            return
        if keys:
            self.heard(keys)
        self._send()

    def _is_word(self, pid: int, said: bytes) -> bool:
        if said == _HERE:
            self._others[pid] = asyncio.get_running_loop().time()
        elif said == _BYE:
            self._others.pop(pid, None)
        elif said == _ASK:
            if self.has_subscribers:
                self._words.append(_HERE)
        else:
            return False
        return True

    def _results(self, pg: Any) -> None:
        nothing = 0
        while self._asked and not pg.is_busy():
            result = pg.get_result()
            if result is None:
                nothing += 1
                if nothing > 2:
                    break
                continue
            nothing = 0
            if result.status == _FATAL:
                log.error("PostgreSQL refuses the connection that hears of events: SQLSTATE %s", _sqlstate(result))
                self._gone()
                return
            if result.status == _SYNC:
                self._asked -= 1
                if not self._asked:
                    self._answered()

    def _answered(self) -> None:
        if not self._is_listening:
            self._is_listening = True
            self.up()

    _is_listening = False

    def _gone(self) -> None:
        self.is_up = self._is_listening = False
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(None)


def _keys_of(payload: bytes) -> list[bytes]:
    """Anything that is no list of keys is nobody's: who forges one costs a read."""
    try:
        whole = bytes.fromhex(payload.decode("ascii"))
    except ValueError:
        return []
    return [whole[at : at + 8] for at in range(0, len(whole) - len(whole) % 8, 8)]


def _sqlstate(result: Any) -> str:
    return (result.error_field(67) or b"").decode()

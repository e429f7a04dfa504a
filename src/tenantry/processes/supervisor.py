"""The supervisor: the process that PM2, systemd or a person started. It starts, watches, replaces and drains the others.

It answers no request and loads neither driver nor application, so it stays small and cannot hang on what they do. A
worker that dies, is silent for too long, or grows over its limit is replaced; SIGHUP replaces all, each new one ready
before its old one drains; SIGUSR2 starts the whole anew in this very process (`exec`), whose pid its manager knows, while
the keeper holds the socket. SIGINT and SIGTERM drain and end. A start that fails is an exit code, never a half-dead server.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tenantry.processes import listener as sockets
from tenantry.processes import manager
from tenantry.processes.child import Child, Role
from tenantry.processes.listener import Held
from tenantry.processes.orders import Orders, settings_for
from tenantry.processes.reloading import Reloading, changes, write_types
from tenantry.processes.rundir import RunDirectory
from tenantry.settings import Settings

if TYPE_CHECKING:
    from tenantry.ops import OpsListener

LOOK_SECONDS = 0.5
START_SECONDS = 60.0
"""How long a process may take until it is ready; an embedded server that recovers needs most of it."""
BACK_OFF_LEAST, BACK_OFF_MOST = 0.1, 10.0
STABLE_SECONDS = 10.0
"""A worker that lived so long did not die of its start."""
MOST_FAILURES = 8
"""Starts in a row that may fail while no worker serves; then the whole ends, and its manager decides."""
KILL_AFTER_SECONDS = 1.0
MEMORY_LOOK_SECONDS = 5.0
LARGE_AGAIN_SECONDS = 60.0
log = logging.getLogger("tenantry.supervisor")


class StartFailed(Exception):
    """The others could not be started; `code` is the exit code, and the words were said by who failed.

    `is_mendable`: saving a file of the application may mend it.
    """

    def __init__(self, code: int, why: str, *, is_mendable: bool = False) -> None:
        self.code = code
        self.why = why
        self.is_mendable = is_mendable
        super().__init__(why)


class Limits(Struct, frozen=True):
    """When a worker is replaced, and how long an end may take."""

    workers: int
    drain_seconds: float
    hang_seconds: float
    hold_seconds: float
    memory_bytes: int

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """From the settings; the memory limit is PM2's where it has one and none is set."""
        return cls(
            settings.workers, settings.drain_ms / 1000, float(settings.hang_seconds), float(settings.hold_seconds),
            settings.memory_limit or manager.memory_limit(),
        )  # fmt: skip


class Supervisor:
    """One serving of one application. `run` returns the exit code."""

    def __init__(
        self, orders: Orders, settings: Settings, run: RunDirectory, held: Held, ops_socket: socket.socket,
        announce: Callable[[], None], reloading: Reloading | None = None,
    ) -> None:  # fmt: skip
        """`ops_socket` is for health and metrics; `announce` is called once, when requests are answered; `reloading`: what is followed."""
        self.settings = settings
        self.limits = Limits.of(settings)
        # What only this process knows: the port that was chosen, and PM2's limit.
        over = {**orders.over, "port": held.port, "memory_limit": self.limits.memory_bytes}
        self.orders = Orders(orders.app, over, orders.urls)
        self.run_directory = run
        self.held = held
        self.workers: list[Child] = []
        self.watcher: Child | None = None
        self.must_restart = False
        self.ops: OpsListener | None = None
        self._ops_socket = ops_socket
        self._reloading = reloading
        self._spare: Child | None = None
        """A worker with its libraries loaded that waits for its application; only while files are followed."""
        self._announce = announce
        self._state = "starting"
        self._is_draining = asyncio.Event()
        self._ended = asyncio.Event()
        self._exit_code = 0
        self._failures = 0
        self._numbers = 0
        self._leaving: set[Child] = set()
        self._reload: asyncio.Task[Any] | None = None
        self._typing = asyncio.Lock()
        self._reloads = 0
        self._last_reload: dict[str, Any] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._memory_looked_at = 0.0

    async def run(self) -> int:
        """Start, watch, end."""
        loop = asyncio.get_running_loop()
        is_at_terminal = _is_at_terminal()
        loop.add_signal_handler(signal.SIGINT, self._on_end, is_at_terminal)
        loop.add_signal_handler(signal.SIGTERM, self._on_end, False)
        if is_at_terminal:
            loop.add_signal_handler(signal.SIGHUP, self._on_end, False)
        else:
            loop.add_signal_handler(signal.SIGHUP, self.reload)
        loop.add_signal_handler(signal.SIGUSR2, self.restart)
        try:
            await self._start()
        except StartFailed as error:
            await self._end_all(0.0)
            return error.code
        watching = loop.create_task(self._watch())
        await self._is_draining.wait()
        watching.cancel()
        await self._drain()
        return self._exit_code

    # ------------------------------------------------------------------ starting

    async def _start(self) -> None:
        """Workers load their libraries while the database is looked at; then they get their orders."""
        warm = min(self.limits.workers, os.cpu_count() or 1)  # more at once would only wait for each other
        self.workers = [self._spawn("worker") for _ in range(warm)]
        self._write()
        ending = asyncio.ensure_future(self._is_draining.wait())
        starting = asyncio.ensure_future(self._start_all())
        await asyncio.wait([ending, starting], return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if not starting.done():
            starting.cancel()
            return
        starting.result()
        self._state = "ready"
        self._write()
        self._announce()
        manager.say_ready()

    async def _start_all(self) -> None:
        """Once; while files are followed, again with each change until it goes well."""
        try:
            await self._start_once()
        except StartFailed as error:
            if self._reloading is None or not error.is_mendable:
                raise
            await self._start_when_mended(self._reloading, error)
        self._start_watcher()
        if self._reloading is not None:
            self._stand_by()
            self._task(self._follow(self._reloading))

    async def _start_when_mended(self, reloading: Reloading, error: StartFailed) -> None:
        """Somebody answers meanwhile, and says what is wrong."""
        stand_in = self._spawn("stand_in")
        self._leaving.add(stand_in)
        stand_in.say(**self.orders.as_message())
        self._note_reload(error.why)
        log.error("waiting for it to be mended, and saved")
        async for change in changes(reloading, self._is_draining):
            log.info("changed: %s", ", ".join(change.names[:3]))
            try:
                await self._start_once()
            except StartFailed as again:
                self._note_reload(again.why)
            else:
                self._note_reload("")
                stand_in.drain(0.5)
                self._task(stand_in.end(0.5 + KILL_AFTER_SECONDS))
                return

    def _note_reload(self, why: str) -> None:
        """What became of new code, for `tenantry status` and for `/_dev`."""
        self._reloads += 1
        self._last_reload = {"number": self._reloads, "ok": not why, "why": why}
        self._write()

    async def _start_once(self) -> None:
        urls = await self._prepare()
        self.orders = Orders(self.orders.app, self.orders.over, urls)
        self.workers = [worker for worker in self.workers if worker.state != "gone"]
        self.workers += [self._spawn("worker") for _ in range(self.limits.workers - len(self.workers))]
        for worker in self.workers:
            worker.say(**self.orders.as_message())
        self._start_ops()
        for worker in self.workers:
            await self._until_ready(worker)

    async def _follow(self, reloading: Reloading) -> None:
        """New workers for each change; what changes meanwhile is the next one."""
        self._task(self._write_types(reloading))  # not waited for: what is saved meanwhile is a change as well
        async for change in changes(reloading, self._is_draining):
            log.info("changed: %s", ", ".join(change.names[:3]))
            if self._reload is not None and not self._reload.done():
                await asyncio.wait([self._reload])  # a reload by a signal may have read the files before this change
            if self._state == "ready":
                self._reload = self._task(self._reload_all(looks=change.looks))
                await asyncio.wait([self._reload])
                if self._last_reload.get("ok"):
                    self._task(self._write_types(reloading))

    async def _write_types(self, reloading: Reloading) -> None:
        """One at a time, so that the last to write has read the newest code."""
        if reloading.types is not None:
            async with self._typing:
                await write_types(self.orders.app, reloading.types)

    def _start_ops(self) -> None:
        """Health and metrics on a thread of this process, which no handler can hold up."""
        from tenantry.ops import OpsListener

        if self.ops is not None:
            self.ops.stop()  # of a start that failed: what it listens to may be another database now
        self.ops = OpsListener(settings_for(self.orders), listener=self._ops_socket)
        self.ops.start()

    async def _prepare(self) -> dict[str, str]:
        """Database, migrations, the last look. Raises StartFailed; the words went to standard error."""
        child = self._spawn("prepare")
        is_told_only = self._state == "reloading" and self._reloading is not None and not self._reloading.pushes
        child.say(**Orders(self.orders.app, self.orders.over, pushes=not is_told_only).as_message())
        await self._until_ready(child)
        urls: dict[str, str] = child.said["urls"]
        await child.end(KILL_AFTER_SECONDS)
        return urls

    async def _until_ready(self, child: Child) -> None:
        await asyncio.wait([child.ready], timeout=START_SECONDS)
        if child.ready.done() and child.ready.result():
            return
        if not child.ready.done():
            child.send(signal.SIGKILL)
            raise StartFailed(1, f"{child.role} was not ready after {START_SECONDS:.0f} s")
        code = await child.gone
        why = child.why or f"{child.role} ended with {_named(code)}"
        raise StartFailed(code if code > 0 else 1, why, is_mendable=child.is_mendable)

    def _spawn(self, role: Role) -> Child:
        listener = self.held.listener if role in ("worker", "stand_in") else None
        if role == "worker":
            self._numbers += 1
        return Child(role, self._numbers, listener, self._on_gone)

    def _start_watcher(self) -> None:
        self.watcher = self._spawn("watcher")
        self.watcher.say(**self.orders.as_message())

    # ------------------------------------------------------------------ watching

    async def _watch(self) -> None:
        watchdog = int(os.environ.get("WATCHDOG_USEC", "0")) / 2e6
        told = 0.0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = time.monotonic()
            for worker in self.workers:
                if now - worker.beat_at > self._most_silence(worker):
                    self._end_hung(worker, now - worker.beat_at)
            if self.limits.memory_bytes and now - self._memory_looked_at > MEMORY_LOOK_SECONDS:
                self._memory_looked_at = now
                self._look_at_memory()
            if watchdog and now - told > watchdog:
                told = now
                manager.notify("WATCHDOG=1")
            if self._failures == 0 and self.held.owner is not None:
                self._look_at_keeper()

    def _most_silence(self, worker: Child) -> float:
        """Seconds without a beat that a worker may have: one that starts beats too, as soon as its application is loaded."""
        if worker.state == "ready":
            return self.limits.hang_seconds
        return START_SECONDS if worker.state == "starting" else float("inf")

    def _end_hung(self, worker: Child, silent: float) -> None:
        log.error(
            "worker %d (pid %d) is silent for %.0f s: ended; where it hung follows", worker.number, worker.pid, silent
        )
        worker.state = "draining"
        # faulthandler writes the stack of every thread, then the process is dead.
        worker.send(signal.SIGABRT)
        asyncio.get_running_loop().call_later(KILL_AFTER_SECONDS, worker.send, signal.SIGKILL)

    def _look_at_memory(self) -> None:
        import psutil

        for worker in [w for w in self.workers if w.state == "ready"]:
            try:
                resident = psutil.Process(worker.pid).memory_info().rss
            except psutil.Error:
                continue
            if resident > self.limits.memory_bytes and (self._reload is None or self._reload.done()):
                log.warning(
                    "worker %d (pid %d) uses %.0f MB of its %.0f MB: it is replaced", worker.number, worker.pid,
                    resident / 1e6, self.limits.memory_bytes / 1e6,
                )  # fmt: skip
                self._reload = self._task(self._replace_large(worker))
                return

    async def _replace_large(self, worker: Child) -> None:
        """Replace it; where that fails it goes on, and is left alone for a minute."""
        try:
            await self._replace(worker)
        except StartFailed as error:
            log.error("worker %d has no replacement, it goes on: %s", worker.number, error.why)  # noqa: TRY400 - foreseen
            self._memory_looked_at = time.monotonic() + LARGE_AGAIN_SECONDS

    def _look_at_keeper(self) -> None:
        """A keeper that was killed is replaced: this process holds the socket too."""
        assert self.held.owner is not None
        try:
            if self.held.owner.recv(1) != b"":
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        log.warning("the keeper is gone: another is started")
        self.held.owner.close()
        self.held = keep_listener(self.run_directory, self.held.listener, self.limits)

    def _on_gone(self, child: Child) -> None:
        """A process is dead: expected, or replaced."""
        code = child.gone.result()
        self._leaving.discard(child)
        if child is self.watcher and not self._is_draining.is_set():
            log.error("the watcher ended with %s: another is started", _named(code))
            asyncio.get_running_loop().call_later(self._pause(child), self._again_watcher)
        if child not in self.workers:
            return
        if self._state == "starting" or self._is_draining.is_set():
            return
        self.workers.remove(child)
        self._write()
        log.error("worker %d (pid %d) ended with %s: another is started", child.number, child.pid, _named(code))
        self._task(self._again(self._pause(child)))

    def _again_watcher(self) -> None:
        if not self._is_draining.is_set():
            self._start_watcher()
            self._write()  # `tenantry status` and the doctor look at the one that lives

    def _pause(self, child: Child) -> float:
        """How long to wait before the next try: not at all for one that lived, longer each time for one that did not."""
        if time.monotonic() - child.started > STABLE_SECONDS:
            self._failures = 0
            return 0.0
        self._failures += 1
        return min(BACK_OFF_LEAST * 2**self._failures, BACK_OFF_MOST)

    async def _again(self, pause: float) -> None:
        await asyncio.sleep(pause)
        if self._is_draining.is_set() or len(self.workers) >= self.limits.workers:
            return
        child = self._spawn("worker")
        self.workers.append(child)
        self._write()
        if self.ops is not None:
            self.ops.signals.worker_restarted()
        child.say(**self._patient())
        await asyncio.wait([child.ready])
        if child.ready.result():
            self._failures = 0
        elif self._failures >= MOST_FAILURES and not any(w.state == "ready" for w in self.workers):
            log.error("no worker stays alive: %s", child.why or "see above")
            self._end(1)
        self._write()

    def _patient(self) -> dict[str, Any]:
        return Orders(self.orders.app, self.orders.over, self.orders.urls, is_patient=True).as_message()

    # ------------------------------------------------------------------ replacing

    def reload(self) -> None:
        """Replace every worker, one by one; a second wish during it is the same wish."""
        if self._state != "ready" or (self._reload is not None and not self._reload.done()):
            return
        self._reload = self._task(self._reload_all())

    async def _reload_all(self, *, looks: bool = True) -> None:
        """`looks`: at the database first, and at its migrations."""
        manager.say_reloading()
        self._state = "reloading"
        self._write()
        started = time.monotonic()
        why = ""
        try:
            if looks:
                urls = await self._prepare()
                self.orders = Orders(self.orders.app, self.orders.over, urls)
            for worker in list(self.workers):
                await self._replace(worker)
        except StartFailed as error:
            why = error.why
            log.error("reload stopped, the old workers go on: %s", why)  # noqa: TRY400 - the words are the cause, foreseen
        else:
            if looks:
                old, self.watcher = self.watcher, None
                if old is not None:
                    old.drain(1.0)
                self._start_watcher()
            log.info("reloaded %d workers in %.1f s", len(self.workers), time.monotonic() - started)
        self._state = "ready"
        self._note_reload(why)
        manager.say_ready()

    async def _replace(self, old: Child) -> None:
        """A new worker, ready before the old one drains. Raises StartFailed, with the old one as it was."""
        if old not in self.workers:
            return  # it died meanwhile, and has its successor
        new = self._next_worker()
        new.say(**self.orders.as_message())
        try:
            await self._until_ready(new)
        except StartFailed:
            await new.end(KILL_AFTER_SECONDS)
            raise
        if old in self.workers:
            self.workers[self.workers.index(old)] = new
        elif len(self.workers) < self.limits.workers:
            self.workers.append(new)
        else:
            new.drain(self.limits.drain_seconds)
            return
        self._leaving.add(old)
        old.drain(self.limits.drain_seconds)
        self._write()
        ending = old.end(self.limits.drain_seconds + KILL_AFTER_SECONDS)
        if self._reloading is None:
            await ending
        else:
            self._task(ending)  # whoever saves again does not wait for streams of the old code

    def _next_worker(self) -> Child:
        """A process for the next worker: the one in waiting, where there is one."""
        spare, self._spare = self._spare, None
        if self._reloading is not None:
            asyncio.get_running_loop().call_later(0.5, self._stand_by)
        return self._spawn("worker") if spare is None or spare.state == "gone" else spare

    def _stand_by(self) -> None:
        if self._spare is None and not self._is_draining.is_set():
            self._spare = self._spawn("worker")
            if self.settings.env == "development":
                self._spare.say(do="warm")

    def restart(self) -> None:
        """Drain, then start anew in this process; not before it is known that the new start would work."""
        if self._state == "ready" and (self._reload is None or self._reload.done()):
            self._reload = self._task(self._restart())

    async def _restart(self) -> None:
        try:
            await self._prepare()
        except StartFailed as error:
            log.error("restart refused, the old processes go on: %s", error.why)  # noqa: TRY400 - foreseen
            self._note_reload(error.why)
            return
        self.must_restart = True
        self._end(0)

    # ------------------------------------------------------------------ ending

    def _on_end(self, is_pressed: bool) -> None:
        if is_pressed and self._is_draining.is_set():
            # A second Ctrl-C: whoever presses it does not want to wait. Of a program that says it twice nobody knows that.
            for child in self._all():
                child.send(signal.SIGKILL)
        self._end(0)

    def _end(self, code: int) -> None:
        self._exit_code = self._exit_code or code
        self._is_draining.set()

    async def _drain(self) -> None:
        if not self.must_restart:
            manager.say_stopping()
        self._state = "draining"
        self._write()
        if self.ops is not None:
            self.ops.drain()
        await self._end_all(self.limits.drain_seconds)

    async def _end_all(self, seconds: float) -> None:
        self._is_draining.set()
        children = self._all()
        for child in children:
            child.drain(seconds)
        await asyncio.gather(*(child.end(seconds + KILL_AFTER_SECONDS) for child in children))
        if self.ops is not None:
            self.ops.stop()

    def _all(self) -> list[Child]:
        found = [
            *self.workers,
            *self._leaving,
            *([self.watcher] if self.watcher else []),
            *([self._spare] if self._spare else []),
        ]
        return [child for child in found if child.state != "gone"]

    # ------------------------------------------------------------------ what others read

    def _write(self) -> None:
        """The state, for the commands: `tenantry status`, `reload`, `stop`."""
        self.run_directory.write_state(
            {
                "pid": os.getpid(), "state": self._state, "host": self.settings.host, "port": self.held.port,
                "ops_port": self._ops_socket.getsockname()[1],
                "keeper": self.held.keeper_pid, "watcher": self.watcher.pid if self.watcher else None,
                "workers": [{"pid": w.pid, "number": w.number, "state": w.state} for w in self.workers],
                "started": self._reloads, "reload": self._last_reload,
            }
        )  # fmt: skip

    def _task(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def keep_listener(run: RunDirectory, listener: Any, limits: Limits) -> Held:
    """A keeper for this socket, unless there shall be none, or it would end with us (the first process of a container)."""
    if limits.hold_seconds <= 0 or os.getpid() == 1:
        return Held(listener, None, None)
    held = sockets.keep(run, listener, limits.hold_seconds)
    if held.owner is None:
        log.warning("no keeper could be started: a restart will refuse clients for a moment")
    else:
        held.owner.setblocking(False)
    return held


def _is_at_terminal() -> bool:
    """Whether a person started this, and may press Ctrl-C."""
    return sys.stdin is not None and sys.stdin.isatty()  # pyright: ignore[reportUnnecessaryComparison] - None without a descriptor 0


def _named(code: int) -> str:
    """An exit code in words."""
    try:
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    except ValueError:
        return f"exit code {code}"

"""The run directory: one mapped file of counts for each process, and the counts of those that have ended.

A process holds a lock on its file for as long as it lives, so the kernel says who is dead, also after `kill -9`. A dead one's
counts are added to `slots.totals` by whoever looks next, exactly once: the new totals name the file that is in them and
take the old ones' place in one rename, before the file goes. Readers take no lock: they look again if the totals changed
meanwhile. When no process of the directory is alive, the next one begins at 0.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import secrets
import time
from collections.abc import Generator
from operator import add
from pathlib import Path

import msgspec

from tenantry.files import write_whole
from tenantry.signals import BY_NAME, STORE_BYTES, Family, Store

Key = tuple[str, ...]
"""A series: the metric's name and its label values."""
Counts = dict[Key, list[float]]

_TOTALS, _LOCK, _PREFIX = "slots.totals", "slots.lock", "slots-"
_LOCK_SECONDS = 2.0
_MOST_LOOKS = 5


class Totals(msgspec.Struct):
    """What ended processes have counted, since `started` (Unix time); `folded` are the files that are in it."""

    started: float
    folded: list[str] = []
    counts: list[tuple[Key, list[float]]] = []


class _File:
    """One mapped file. `own` holds its lock until it is closed."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self.map = mmap.mmap(self.fd, STORE_BYTES)
        except (OSError, ValueError):
            os.close(self.fd)
            raise
        self.store = Store(memoryview(self.map))

    def is_dead(self) -> bool:
        """Whether nobody holds the lock; then it is ours, until the file is closed."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def close(self) -> None:
        self.store.release()
        self.map.close()
        os.close(self.fd)


class Slots:
    """The stores of one run directory. Each thread that reads has one of its own."""

    def __init__(self, folder: Path) -> None:
        """Touches nothing yet; the folder is made by the first `claim`."""
        self.folder = folder
        self._own: _File | None = None
        self._files: dict[str, _File] = {}
        self._totals = Totals(0.0)
        self._totals_seen: tuple[int, int] = (0, 0)

    # ------------------------------------------------------------------ writing

    def claim(self) -> Store:
        """A store of this process in the directory. Raises OSError where it cannot be written."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock(wait=True):
            if not self._is_anyone_alive():
                self._begin_anew()
            name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
            # Under another name until it is locked: a file without a lock is a dead one's.
            path = self.folder / f".{name}"
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            os.ftruncate(fd, STORE_BYTES)
            os.close(fd)
            own = self._own = _File(path)
            own.is_dead()
            own.store.begin()
            path.rename(self.folder / name)
        return own.store

    def close(self) -> None:
        """Let go of everything; what was counted stays, for the next reader to add up."""
        if self._own is not None:
            # Unlocked, not unmapped: what still runs may count, and nobody is to fail by it.
            fcntl.flock(self._own.fd, fcntl.LOCK_UN)
            os.close(self._own.fd)
            self._own = None
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _is_anyone_alive(self) -> bool:
        self._look()
        return any(not file.is_dead() for file in self._files.values())

    def _begin_anew(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()
        for path in [*self.folder.glob(f"{_PREFIX}*"), *self.folder.glob(f".{_PREFIX}*")]:
            path.unlink(missing_ok=True)
        self._write_totals(Totals(time.time()))

    @contextlib.contextmanager
    def _lock(self, *, wait: bool) -> Generator[bool]:
        """The directory's lock, by which counts are moved; yields whether it was had."""
        fd = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        until = time.monotonic() + (_LOCK_SECONDS if wait else 0.0)
        try:
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() < until:
                        time.sleep(0.005)
                        continue
                    yield False
                    return
                break
            yield True
        finally:
            os.close(fd)

    # ------------------------------------------------------------------ reading

    def live(self) -> list[Store]:
        """The stores of the processes that are alive; the dead ones' counts are put away on the way."""
        self._look()
        alive: list[Store] = []
        for name, file in list(self._files.items()):
            if file.is_dead():
                self._fold(name)
            else:
                alive.append(file.store)
        return alive

    def read(self) -> tuple[Counts, list[Store], float]:
        """All counts since the beginning, the live stores (for gauges), and when it was (Unix time)."""
        alive: list[Store] = []
        counts: Counts = {}
        before = self._totals
        for _ in range(_MOST_LOOKS):
            self.live()
            before = self._read_totals()
            self._look()
            alive = []
            counts = {key: list(cells) for key, cells in before.counts}
            for name, file in self._files.items():
                if name not in before.folded:
                    add_counts(counts, file.store)
                    alive.append(file.store)
            if self._read_totals() is before:
                break
        return counts, alive, before.started

    def _look(self) -> None:
        """Map what is new, forget what is gone."""
        try:
            names = {entry.name for entry in os.scandir(self.folder) if entry.name.startswith(_PREFIX)}
        except OSError:
            names = set[str]()
        for name in self._files.keys() - names:
            self._files.pop(name).close()
        for name in names - self._files.keys():
            try:
                file = _File(self.folder / name)
            except (OSError, ValueError):  # gone already, or not a whole file
                continue
            if file.store.is_valid:
                self._files[name] = file
            else:
                file.close()

    def _fold(self, name: str) -> None:
        """Add a dead process's counts to the totals, unless somebody is at it or it is done."""
        with self._lock(wait=False) as is_ours:
            if not is_ours:
                return
            path = self.folder / name
            totals = self._read_totals()
            if name not in totals.folded:
                counts: Counts = {tuple(key): list(cells) for key, cells in totals.counts}
                add_counts(counts, self._files[name].store)
                here = {entry.name for entry in os.scandir(self.folder)}
                folded = [*(other for other in totals.folded if other in here), name]
                self._write_totals(Totals(totals.started, folded, list(counts.items())))
            path.unlink(missing_ok=True)
        self._files.pop(name).close()

    def _read_totals(self) -> Totals:
        path = self.folder / _TOTALS
        try:
            found = path.stat()
            if (found.st_ino, found.st_mtime_ns) != self._totals_seen:
                self._totals = msgspec.json.decode(path.read_bytes(), type=Totals)
                self._totals_seen = (found.st_ino, found.st_mtime_ns)
        except (OSError, msgspec.MsgspecError):
            if self._totals_seen != (0, 0):
                self._totals, self._totals_seen = Totals(0.0), (0, 0)
        return self._totals

    def _write_totals(self, totals: Totals) -> None:
        write_whole(self.folder / _TOTALS, msgspec.json.encode(totals))


def add_counts(counts: Counts, store: Store) -> None:
    """Add a store's counters and histograms to `counts`."""
    for key, place in list(store.places().items()):
        family = BY_NAME.get(place.metric)
        if family is None or family.kind == "gauge" or family.width != place.width:
            continue
        own = store.read(place)
        held = counts.get(key)
        counts[key] = own if held is None else added(family, held, own)


def added(family: Family, one: list[float], other: list[float]) -> list[float]:
    """The sum of two series; of a histogram's last cell the larger."""
    whole = list(map(add, one, other))
    if family.kind == "histogram":
        whole[-1] = max(one[-1], other[-1])
    return whole

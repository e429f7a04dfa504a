"""Where the counts stand: cells of eight bytes in one buffer, and beside them the names of the series that they belong to.

The buffer may be memory of this process or a file mapped into it; an increment is one store either way, with no lock and no
I/O, and what a process has counted outlives it in the file. A reader in another process finds names and cells by itself:
a name is written first and published afterwards by one store of its length, so that half a name is never read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tenantry.signals.families import BY_NAME, FAMILIES, Family

MOST_SERIES = 2000
"""Series of one process: far above what a healthy application has, and quick to scrape."""
_MAGIC = 0x31_59_52_54_4E_54  # "TNTRY1"
_HEAD_BYTES = 64
_NAME_BYTES = 384 * 1024
_SCRATCH_CELLS = 32
"""Written by calls that are not counted, and never read: cheaper than asking each time."""
_MOST_CELLS = _SCRATCH_CELLS + MOST_SERIES * max(family.width for family in FAMILIES)
STORE_BYTES = _HEAD_BYTES + _NAME_BYTES + _MOST_CELLS * 8
"""Size of a store; a mapped file is sparse, so only what is used takes room."""
_VERSION, _NAMES_USED, _CELLS_USED = 0, 1, 2


class Placed(NamedTuple):
    """One series of a store: its metric, its label values, and where its cells begin."""

    metric: str
    labels: tuple[str, ...]
    at: int
    width: int


class Store:
    """One process's cells. `cells` is what writers write to; everything else is for the time of a new series, and for readers."""

    __slots__ = ("_buffer", "_head", "_places", "_read_bytes", "_read_cells", "cells")

    def __init__(self, buffer: memoryview | None = None) -> None:
        """`buffer` has STORE_BYTES bytes: zeros for a new store, or a store of this or another process."""
        self._buffer = memoryview(bytearray(STORE_BYTES)) if buffer is None else buffer
        self._head = self._buffer[:_HEAD_BYTES].cast("q")
        self.cells: memoryview[float] = self._buffer[_HEAD_BYTES + _NAME_BYTES :].cast("d")
        self._places: dict[tuple[str, ...], Placed] = {}
        self._read_bytes = 0
        self._read_cells = _SCRATCH_CELLS

    def begin(self) -> None:
        """Make it a store of no series."""
        self._head[_CELLS_USED] = _SCRATCH_CELLS
        self._head[_VERSION] = _MAGIC

    @property
    def is_valid(self) -> bool:
        """Whether this is a store of this layout."""
        return self._head[_VERSION] == _MAGIC

    def add(self, family: Family, labels: Sequence[str]) -> int | None:
        """Where the cells of this series begin; it is made if there is room, else None."""
        key = (family.name, *labels)
        found = self.places().get(key)
        if found is not None:
            return found.at
        used, at = self._head[_NAMES_USED], self._head[_CELLS_USED]
        name = json.dumps([family.width, *key], separators=(",", ":")).encode() + b"\n"
        if (
            len(self._places) >= MOST_SERIES
            or used + len(name) > _NAME_BYTES
            or at - _SCRATCH_CELLS + family.width > (_MOST_CELLS - _SCRATCH_CELLS)
        ):
            return None
        if family.kind == "gauge":
            self.cells[at] = math.nan  # not known yet, which is not 0
        self._buffer[_HEAD_BYTES + used : _HEAD_BYTES + used + len(name)] = name
        self._head[_CELLS_USED] = at + family.width
        self._head[_NAMES_USED] = used + len(name)
        self.places()
        return at

    def places(self) -> dict[tuple[str, ...], Placed]:
        """Every series by (metric, *label values); what was added since the last look is read on."""
        used = self._head[_NAMES_USED]
        if used == self._read_bytes:
            return self._places
        names = bytes(self._buffer[_HEAD_BYTES + self._read_bytes : _HEAD_BYTES + used])
        for line in names.splitlines():
            width, metric, *labels = json.loads(line)
            self._places[metric, *labels] = Placed(metric, tuple(labels), self._read_cells, width)
            self._read_cells += width
        self._read_bytes = used
        return self._places

    def __iter__(self) -> Iterator[Placed]:
        """All series, in the order in which they were made."""
        return iter(list(self.places().values()))

    def read(self, place: Placed) -> list[float]:
        """The cells of a series; of a counter that counts a histogram's observations, which are written once."""
        found: list[float] = [*self.cells[place.at : place.at + place.width]]
        family = BY_NAME.get(place.metric)
        if family is not None and family.counts:
            timed = self.places().get((family.counts, place.labels[0]))
            if timed is not None:
                found[0] += sum(self.cells[timed.at : timed.at + timed.width - 2])
        return found

    def gauge(self, metric: str) -> float:
        """The value of a gauge without labels; NaN when it is not known."""
        place = self.places().get((metric,))
        return math.nan if place is None else self.cells[place.at]

    def release(self) -> None:
        """Let go of the buffer, so that a mapped file can be closed."""
        for view in (self.cells, self._head, self._buffer):
            view.release()

"""The queue in front of the pool: a line for each tenant, and the lines take turns. Pure: no clock, no I/O.

Round robin over those that wait, so that a tenant with a hundred waiting requests delays another by one of them, not by a hundred.
Who may not have its turn now (its bound is reached) is passed over and keeps its place. Nothing here knows of connections.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from itertools import chain
from typing import Generic, TypeVar

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class Turns(Generic[T]):
    """A line that is itself made of lines which take turns: those whose tenant is not known yet, by credential."""

    def __init__(self, key: Callable[[T], Hashable]) -> None:
        """`key` says whose an item is."""
        self._key = key
        self._lines: OrderedDict[Hashable, deque[T]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        return chain.from_iterable(self._lines.values())

    def append(self, item: T) -> None:
        """To the end of its own line."""
        self._lines.setdefault(self._key(item), deque()).append(item)
        self._count += 1

    def popleft(self) -> T:
        """The oldest of the line whose turn it is."""
        key, line = next(iter(self._lines.items()))
        self._count -= 1
        item = line.popleft()
        self._lines.move_to_end(key)
        if not line:
            del self._lines[key]
        return item

    def pop(self) -> T:
        """The newest of the longest line."""
        key = max(self._lines, key=lambda key: len(self._lines[key]))
        item = self._lines[key][-1]
        self.remove(item)
        return item

    def remove(self, item: T) -> None:
        """Forget one. Raises ValueError when it is not here."""
        key = self._key(item)
        line = self._lines.get(key, deque[T]())
        line.remove(item)
        self._count -= 1
        if not line:
            del self._lines[key]


class FairQueue(Generic[K, T]):
    """Items that wait, by whose they are. Each operation costs the same however many wait, but for `remove` and `evict`."""

    def __init__(self, line: Callable[[K], deque[T] | Turns[T]]) -> None:
        """`line` makes the line of a tenant that begins to wait."""
        self._new_line = line
        self._lines: OrderedDict[K, deque[T] | Turns[T]] = OrderedDict()
        self._first: deque[T] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        return chain(self._first, chain.from_iterable(self._lines.values()))

    def push(self, key: K, item: T) -> None:
        """To the end of its tenant's line."""
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = self._new_line(key)
        line.append(item)
        self._count += 1

    def push_first(self, item: T) -> None:
        """Before all others, whoever it is: it has had its turn, and runs again."""
        self._first.appendleft(item)
        self._count += 1

    def pop(self, may: Callable[[K], bool]) -> T | None:
        """The next whose tenant may have its turn; None when none may."""
        if self._first:
            self._count -= 1
            return self._first.popleft()
        for key in self._lines:
            if may(key):
                line = self._lines[key]
                item = line.popleft()
                self._count -= 1
                self._lines.move_to_end(key)
                if not len(line):
                    del self._lines[key]
                return item
        return None

    def waiting_of(self, key: K) -> int:
        """How long a tenant's line is."""
        line = self._lines.get(key)
        return 0 if line is None else len(line)

    @property
    def lines(self) -> int:
        """How many tenants wait."""
        return len(self._lines)

    def evict(self) -> tuple[K, T] | None:
        """Take out the newest of the longest line, to make room; None when nothing waits in a line."""
        if not self._lines:
            return None
        key = max(self._lines, key=lambda key: len(self._lines[key]))
        line = self._lines[key]
        item = line.pop()
        self._count -= 1
        if not len(line):
            del self._lines[key]
        return key, item

    def remove(self, key: K, item: T) -> bool:
        """Forget one that waits; False when it does not."""
        line = self._lines.get(key)
        try:
            if line is None:
                self._first.remove(item)
            else:
                line.remove(item)
        except ValueError:
            if line is None or item not in self._first:
                return False
            self._first.remove(item)
        self._count -= 1
        if line is not None and not len(line):
            del self._lines[key]
        return True

"""What a worker's memory holds, counted in small steps of its own event loop.

A step lasts 2 ms at most, and between two the loop has 2 ms for requests; only the list of all tracked objects is one call of the
interpreter, about 15 ms a million. Counted are names of types, numbers and sizes: no value is read, no method of an object is called
(sizes are asked of `object` and the built-in types, never of a `__sizeof__` that somebody wrote), so nothing of a tenant gets out.
"""

# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# The objects of a whole process: no checker knows their types.
from __future__ import annotations

import asyncio
import gc
import sys
import time
import types
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from typing import Any

from msgspec import Struct

STEP_SECONDS = 0.002
PAUSE_SECONDS = 0.002
MOST_TYPES = 400
MOST_HOLDERS = 50
LEAST_HELD = 100
"""A container of fewer elements holds no leak worth a line."""
LOOP_SECONDS = 5.0
_LONGEST_NAME = 160
_HOLDING: tuple[Any, ...] = (dict, list, set, frozenset, deque)


class Holder(Struct, frozen=True):
    """A container that a module, a class or an object of a module holds: where, of which type, how many elements."""

    name: str
    type: str
    elements: int
    bytes: int


class Counted(Struct):
    """The counts. `types` by name: how many, and bytes of their own (what they refer to is counted as its own type)."""

    types: dict[str, list[int]]
    holders: list[Holder]
    objects: int
    longest_ms: float = 0.0
    took_ms: float = 0.0
    steps: int = 0


def count(objects: list[Any], modules: dict[str, Any]) -> Generator[Counted | None]:
    """Count, with a yield now and then; the last thing that it yields is the result. `objects` is emptied."""
    of_types: dict[str, list[int]] = {}
    kinds: dict[type, tuple[list[int], Callable[[Any], int]]] = {}
    seen: set[int] = set()
    tracked = len(objects)
    referents, is_tracked = gc.get_referents, gc.is_tracked

    def add(thing: Any, head: int) -> None:
        kind: type = type(thing)
        known = kinds.get(kind)
        if known is None:
            known = kinds[kind] = (of_types.setdefault(name_of(kind), [0, 0]), sizer_of(kind))
        entry, size = known
        entry[0] += 1
        entry[1] += size(thing) + head

    done = 0
    while objects:
        thing = objects.pop()
        add(thing, _HEAD)
        # Texts and bytes are not tracked: they are found where they are held, once each.
        for part in referents(thing):  # of an object that held many it is one more list, for a moment
            if not is_tracked(part) and id(part) not in seen:
                seen.add(id(part))
                add(part, 0)
            done += 1
            if not done % 128:
                yield None
        done += 1
        if not done % 128:
            yield None
    while seen:
        for _ in range(min(20_000, len(seen))):
            seen.pop()
        yield None
    seen.clear()  # the empty table is still as big as it was
    holders: list[Holder] = []
    for one in _holders(modules):
        if one is None:
            yield None
        else:
            holders.append(one)
    biggest = sorted(of_types.items(), key=lambda item: -item[1][1])[:MOST_TYPES]
    holders.sort(key=lambda one: -one.bytes)
    yield Counted(dict(biggest), holders[:MOST_HOLDERS], tracked)


def _holders(modules: dict[str, Any]) -> Iterator[Holder | None]:
    """Containers by the name that leads to them: `notes.CACHE`, `notes.Desk.seen`, `notes.desk.seen`. None now and then."""
    known: set[int] = set()
    for module_name, module in list(modules.items()):
        if not isinstance(module, types.ModuleType):
            continue
        yield None
        for name, value in list(vars(module).items()):
            yield from _held(f"{module_name}.{name}", value, known)
            inside = _own_attributes(value, module_name)
            if inside is not None:
                for attribute, part in list(inside.items()):
                    yield from _held(f"{module_name}.{name}.{attribute}", part, known)


def _held(name: str, value: Any, known: set[int]) -> Iterator[Holder]:
    kind: type = type(value)
    length = next((base.__len__ for base in _HOLDING if issubclass(kind, base)), None)
    if length is None or id(value) in known or name.endswith(".__dict__"):
        return
    elements = length(value)
    if elements >= LEAST_HELD:
        known.add(id(value))
        yield Holder(name[:_LONGEST_NAME], name_of(kind), elements, size_of(value))


def _own_attributes(value: Any, module_name: str) -> dict[str, Any] | None:
    """Of a class of this module, or of an object whose class wrote no `__getattribute__`: its attributes, without calling anything."""
    kind: type = type(value)
    if issubclass(kind, type):
        of_class: Any = type.__dict__["__dict__"].__get__(value)
        return dict(of_class) if of_class.get("__module__") == module_name else None
    if issubclass(kind, (types.ModuleType, types.FunctionType, types.MethodType, types.BuiltinFunctionType)):
        return None
    found = next(
        (vars(base)["__dict__"] for base in type.__dict__["__mro__"].__get__(kind) if "__dict__" in vars(base)), None
    )
    if type(found) is not types.GetSetDescriptorType:
        return None  # none, or a property of somebody's own
    attributes: Any = found.__get__(value)
    return attributes if type(attributes) is dict else None


def name_of(kind: type) -> str:
    """`builtins.dict` → dict, `notes.Note`."""
    # By `type` itself: a metaclass may have its own idea of these.
    name, module = type.__dict__["__qualname__"].__get__(kind), str(type.__dict__["__module__"].__get__(kind))
    return (name if module == "builtins" else f"{module}.{name}")[:_LONGEST_NAME]


def sizer_of(kind: type) -> Callable[[Any], int]:
    """What gives the bytes of an object of this type alone, without what the collector keeps before it."""
    for base in type.__dict__["__mro__"].__get__(kind):
        # A type made in C (dict, deque, memoryview, numpy's array) knows its buffer; what was written in Python is not called.
        if not base.__flags__ & _HEAP_TYPE and "__sizeof__" in vars(base):
            return base.__sizeof__
    return object.__sizeof__


def size_of(thing: Any) -> int:
    """Bytes of one object alone."""
    return sizer_of(type(thing))(thing) + (_HEAD if gc.is_tracked(thing) else 0)


_HEAP_TYPE = 0x200
"""Py_TPFLAGS_HEAPTYPE: of a type that was made by a `class` statement, or by a module in C of the newer kind."""
_HEAD = sys.getsizeof([]) - list.__sizeof__([])


def count_in_loop(loop: asyncio.AbstractEventLoop, has_gone: Callable[[], bool]) -> Counted:
    """Count in the loop, from another thread. Raises TimeoutError when the loop does not turn."""
    over: Future[Counted] = Future()
    begun: Future[None] = Future()
    loop.call_soon_threadsafe(_begin, loop, over, begun, has_gone)
    begun.result(LOOP_SECONDS)
    return over.result(600.0)


def _begin(
    loop: asyncio.AbstractEventLoop, over: Future[Counted], begun: Future[None], has_gone: Callable[[], bool]
) -> None:
    begun.set_result(None)
    started = time.perf_counter()
    going = count(gc.get_objects(), dict(sys.modules))
    longest = time.perf_counter() - started
    steps = 0

    def step() -> None:
        nonlocal longest, steps
        begin = time.perf_counter()
        found: Counted | None = None
        try:
            while found is None and time.perf_counter() - begin < STEP_SECONDS:
                found = next(going)
            if not steps % 50 and has_gone():
                message = "the visitor has gone"
                raise ConnectionError(message)
        except BaseException as error:  # told to who waits, whatever it is
            over.set_exception(error)
            return
        steps += 1
        longest = max(longest, time.perf_counter() - begin)
        if found is None:
            loop.call_later(PAUSE_SECONDS, step)
            return
        found.longest_ms, found.steps = round(longest * 1000, 2), steps
        found.took_ms = round((time.perf_counter() - started) * 1000, 1)
        going.close()
        over.set_result(found)

    step()

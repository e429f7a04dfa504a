"""What a worker answers at its door: `heap`, `watch`, `profile`, `statements`."""

from __future__ import annotations

import asyncio
import os
import platform
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from tenantry.ops.inspect import heap, sampler, traced
from tenantry.ops.inspect.door import Question, Refused, Work


def works(known: Callable[[], list[dict[str, str]]]) -> dict[str, Work]:
    """Of the loop and the thread that this is called in. `known` gives the statements of this process."""
    loop, thread = asyncio.get_running_loop(), threading.get_ident()

    def of_heap(_: Question, has_gone: Callable[[], bool]) -> dict[str, Any]:
        try:
            found = heap.count_in_loop(loop, has_gone)
        except TimeoutError:
            message = f"its loop has not turned for {heap.LOOP_SECONDS:g} s; tenantry profile shows what holds it"
            raise Refused(message) from None
        return {**_head(), **msgspec.to_builtins(found)}

    def of_watch(question: Question, has_gone: Callable[[], bool]) -> dict[str, Any]:
        return {**_head(), **traced.watch(_number(question, "seconds", 30.0), has_gone)}

    def of_profile(question: Question, has_gone: Callable[[], bool]) -> dict[str, Any]:
        found = sampler.sample(
            thread, _number(question, "seconds", 10.0), _number(question, "rate", 100.0), has_gone,
            others=question.get("threads") is True,
        )  # fmt: skip
        figures = {name: getattr(found, name) for name in found.__struct_fields__ if name != "stacks"}
        return {**_head(), **figures, "stacks": [[list(stack), count] for stack, count in found.stacks.items()]}

    def of_statements(_: Question, __: Callable[[], bool]) -> dict[str, Any]:
        return {**_head(), "statements": known()}

    return {"heap": of_heap, "watch": of_watch, "profile": of_profile, "statements": of_statements}


def _head() -> dict[str, Any]:
    from tenantry.ops.health.memory import resident_bytes

    return {"pid": os.getpid(), "at": time.time(), "rss": resident_bytes(), "python": platform.python_version()}


def _number(question: Question, name: str, default: float) -> float:
    value = question.get(name, default)
    if not isinstance(value, (int, float)) or not value > 0:
        message = f"{name} must be a number above 0"
        raise Refused(message)
    return float(value)

"""PQsendPipelineSync: a Sync that is queued and not yet sent, so that one write carries many trips.

psycopg 3.3 wraps only PQpipelineSync, which writes at once. libpq has had the other since version 17; it is called here in the
very library that psycopg has loaded. Where it cannot be found (an older libpq) each trip is a write of its own: slower, never wrong.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from psycopg.pq import abc


def queue_sync(pg: abc.PGconn) -> Callable[[], object]:
    """What queues a Sync on this connection. It raises when libpq refuses."""
    # psycopg's protocol class does not name it; all of its implementations have it.
    function, address = _function(), cast("int | None", getattr(pg, "pgconn_ptr", None))
    if function is None or address is None:
        return pg.pipeline_sync

    def sync() -> None:
        if not function(address):
            message = "libpq refused a Sync"
            raise RuntimeError(message)

    return sync


@cache
def _function() -> Any:
    from psycopg import pq

    for path in _libraries(pq.__impl__):
        try:
            # PyDLL keeps the GIL: the call takes some hundred nanoseconds, and does no I/O.
            library = ctypes.PyDLL(path)
            function = library.PQsendPipelineSync
            if library.PQlibVersion() != pq.version():
                continue  # another copy: its structures may differ from those of the connection
        except (OSError, AttributeError):
            continue
        function.argtypes = [ctypes.c_void_p]
        function.restype = ctypes.c_int
        return function
    return None


def _libraries(implementation: str) -> list[str]:
    """Where the libpq lies that psycopg uses. Opening a path that is loaded gives what is loaded."""
    if implementation == "binary":
        import psycopg_binary

        home = Path(psycopg_binary.__file__).parent
        found = [*home.parent.glob("psycopg_binary.libs/libpq*"), *home.glob(".dylibs/libpq*")]
        return [str(path) for path in found]
    from psycopg.pq.misc import find_libpq_full_path

    path = find_libpq_full_path()
    return [path] if path else []

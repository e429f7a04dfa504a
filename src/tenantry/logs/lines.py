"""One line a call: procedure, type, status, how long, tenant, request and trace. Written for the hot path.

The line is made where the call ends, since a thread that makes it would hold up the event loop for the time of a whole batch;
only the writing is the thread's. A procedure that nobody registered is `_other`: its name is whatever a stranger sent.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Protocol

_TRACE = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_MOST_TENANTS = 4096
OTHER = "_other"


class Inside(Protocol):
    """Where a call was: asked only if its line is written."""

    @property
    def tenant_bytes(self) -> bytes | None:
        """The tenant's id, 16 bytes."""
        ...


class RequestLines:
    """Makes lines and hands them to `put`: of all calls that failed or were slow, and of `rate` others a second."""

    __slots__ = (
        "_begin", "_ends", "_heads", "_is_text", "_left", "_left_out", "_moment", "_offset", "_put", "_rate", "_second", "_slow_seconds",
        "_stamp", "_tenants", "has_good",
    )  # fmt: skip

    def __init__(
        self,
        put: Callable[[str], None],
        procedures: Mapping[str, str],
        *,
        is_text: bool = False,
        has_colour: bool = False,
        rate: int = 200,
        slow_ms: float = 1000.0,
        has_good: bool = True,
    ) -> None:
        """`procedures` are the registered paths with their types; `has_good` is False where the level leaves out `info`."""
        self._put = put
        self._is_text = is_text
        self._rate = self._left = rate
        self._left_out = 0
        self._slow_seconds = slow_ms / 1000 if slow_ms >= 0 else float("inf")
        self.has_good = has_good
        self._offset = 0.0
        self._ends: float = 0.0
        self._second: int = -1
        self._moment: int = -1
        self._begin = ""
        self._stamp = ""
        self._tenants: dict[bytes, str] = {}
        if is_text:
            bold, plain = ("\x1b[1m", "\x1b[0m") if has_colour else ("", "")
            self._heads = {path: f"{type_:8} {bold}{path}{plain}" for path, type_ in procedures.items()}
            self._heads[OTHER] = f"{'':8} {bold}{OTHER}{plain}"
        else:
            self._heads = {
                path: f'"procedure":"{path}","type":"{type_}"'
                for path, type_ in procedures.items()
                if path.isprintable()
            }
            self._heads[OTHER] = f'"procedure":"{OTHER}"'
        # A load balancer asks every second: what health says is in the metrics.
        self._heads.update(dict.fromkeys((path for path in procedures if path.startswith("health.")), ""))

    def add(
        self,
        procedure: str,
        status: int,
        code: str | None,
        began: float,
        ended: float,
        inside: Inside | None,
        request_id: str,
        headers: list[tuple[bytes, bytes]],
    ) -> None:
        """A call is over; times are `time.perf_counter`'s, `inside` says the tenant, `code` is the tRPC name of its error."""
        if ended >= self._ends:
            self._next_second(ended)
        if status < 500:
            if not self.has_good:
                return
            if code is None and ended - began < self._slow_seconds:
                if self._left <= 0:
                    self._left_out += 1
                    return
                self._left -= 1
        moment = int((ended + self._offset) * 1000)
        if moment != self._moment:
            self._tick(moment)
        head = self._heads.get(procedure)
        if not head:
            if head is not None:
                return
            head = self._heads[OTHER]
        tenant = None if inside is None else inside.tenant_bytes
        shown = "" if tenant is None else self._tenants.get(tenant) or self._show(tenant)
        if self._is_text:
            self._put(self._text(head, status, code, ended - began, shown, request_id))
            return
        trace = ""
        for name, value in headers:
            if name == b"traceparent":
                trace = trace_id(value)
                break
        if status == 200:
            self._put(
                f'{self._begin}info",{head},"status":200,"ms":{(ended - began) * 1000:.2f}{shown},"request_id":"{request_id}"{trace}}}\n'
            )
            return
        failed = "" if code is None else f',"code":"{code}"'
        self._put(
            f'{self._begin}{"info" if status < 500 else "error"}",{head},"status":{status},"ms":{(ended - began) * 1000:.2f}'
            f'{failed}{shown},"request_id":"{request_id}"{trace}}}\n'
        )

    def _next_second(self, now: float) -> None:
        """Once a second: so many good and quick calls may have a line again, and how many had none is said."""
        self._ends = now + 1.0
        self._offset = time.time() - time.perf_counter()
        self._left = self._rate
        if self._left_out and self._rate:
            self._tick(int((now + self._offset) * 1000))
            count, self._left_out = self._left_out, 0
            words = f"{count} more calls, good and quick, without a line (TENANTRY_LOG_RATE)"
            self._put(
                f"{self._begin} {words}\n"
                if self._is_text
                else f'{self._begin}info","logger":"tenantry.log","message":"{words}","count":{count}}}\n'
            )

    def _tick(self, moment: int) -> None:
        """Calls that end in the same millisecond begin with the same words."""
        self._moment = moment
        second, ms = divmod(moment, 1000)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%H:%M:%S." if self._is_text else "%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        self._begin = f"{self._stamp}{ms:03d}" if self._is_text else f'{{"time":"{self._stamp}{ms:03d}Z","level":"'

    def _show(self, tenant: bytes) -> str:
        """The id as it is written in a line; kept, since few tenants call often."""
        if len(self._tenants) >= _MOST_TENANTS:
            self._tenants.clear()
        text = tenant.hex()
        text = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
        shown = self._tenants[tenant] = text if self._is_text else f',"tenant":"{text}"'
        return shown

    def _text(self, head: str, status: int, code: str | None, seconds: float, tenant: str, request_id: str) -> str:
        is_coloured = "\x1b" in head
        colour = ("\x1b[32m" if status < 400 else "\x1b[33m" if status < 500 else "\x1b[31m") if is_coloured else ""
        dim, plain = ("\x1b[2m", "\x1b[0m") if is_coloured else ("", "")
        return (
            f"{dim}{self._begin}{plain} {colour}{status}{plain} {head} {seconds * 1000:.1f} ms"
            f"{f' {colour}{code}{plain}' if code else ''}{dim}{f' tenant {tenant}' if tenant else ''} {request_id}{plain}\n"
        )


def trace_id(value: bytes) -> str:
    """`,"trace_id":"…"` of a W3C traceparent; empty for anything else."""
    found = _TRACE.fullmatch(value)
    return "" if found is None else f',"trace_id":"{found.group(1).decode("ascii")}"'

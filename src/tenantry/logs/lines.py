"""One line a call: procedure, type, status, how long, tenant, request and trace. Written for the hot path.

The line is made where the call ends, since a thread that makes it would hold up the event loop for the time of a whole batch;
only the writing is the thread's. A procedure that nobody registered is `_other`: its name is whatever a stranger sent.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping

_TRACE = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_MOST_TENANTS = 4096
OTHER = "_other"


class RequestLines:
    """Makes lines and hands them to `put`. `sample` n writes one of n good and quick calls; 0 none of them."""

    __slots__ = (
        "_begin", "_heads", "_is_text", "_moment", "_put", "_sample", "_second", "_since", "_slow_seconds", "_stamp", "_tenants",
        "has_good",
    )  # fmt: skip

    def __init__(
        self,
        put: Callable[[str], None],
        procedures: Mapping[str, str],
        *,
        is_text: bool = False,
        has_colour: bool = False,
        sample: int = 1,
        slow_ms: float = 1000.0,
        has_good: bool = True,
    ) -> None:
        """`procedures` are the registered paths with their types; `has_good` is False where the level leaves out `info`."""
        self._put = put
        self._is_text = is_text
        self._sample = sample
        self._since = 0
        self._slow_seconds = slow_ms / 1000 if slow_ms >= 0 else float("inf")
        self.has_good = has_good
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

    def add(
        self,
        procedure: str,
        status: int,
        code: str | None,
        seconds: float,
        tenant: bytes | None,
        request_id: str,
        headers: list[tuple[bytes, bytes]],
    ) -> None:
        """A call is over; `tenant` is its id's 16 bytes, `code` the tRPC name of its error."""
        if status < 500:
            if not self.has_good:
                return
            if self._sample != 1 and code is None and seconds < self._slow_seconds and self._is_left_out():
                return
        moment = int(time.time() * 1000)
        if moment != self._moment:
            self._tick(moment)
        head = self._heads.get(procedure)
        if head is None:
            head = self._heads[OTHER]
        shown = "" if tenant is None else self._tenants.get(tenant) or self._show(tenant)
        if self._is_text:
            self._put(self._text(head, status, code, seconds, shown, request_id))
            return
        trace = ""
        for name, value in headers:
            if name == b"traceparent":
                trace = trace_id(value)
                break
        if status == 200:
            self._put(
                f'{self._begin}info",{head},"status":200,"ms":{seconds * 1000:.2f}{shown},"request_id":"{request_id}"{trace}}}\n'
            )
            return
        failed = "" if code is None else f',"code":"{code}"'
        self._put(
            f'{self._begin}{"info" if status < 500 else "error"}",{head},"status":{status},"ms":{seconds * 1000:.2f}'
            f'{failed}{shown},"request_id":"{request_id}"{trace}}}\n'
        )

    def _tick(self, moment: int) -> None:
        """Calls that end in the same millisecond begin with the same words."""
        self._moment = moment
        second, ms = divmod(moment, 1000)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%H:%M:%S." if self._is_text else "%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        self._begin = f"{self._stamp}{ms:03d}" if self._is_text else f'{{"time":"{self._stamp}{ms:03d}Z","level":"'

    def _is_left_out(self) -> bool:
        self._since += 1
        if self._sample and self._since >= self._sample:
            self._since = 0
            return False
        return True

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

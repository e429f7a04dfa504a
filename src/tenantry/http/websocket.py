"""WebSockets on the native server: the rules are `websockets`' (its Sans-I/O protocol), the socket is ours.

No task and no timer a socket: what comes in is handed on as it comes, and the server's one clock ends what does not close.
Bytes are cut into frames here. One whole text message in one frame, as all clients of tRPC send them, is unmasked and handed on;
every other frame (parts, pings, closes, whatever breaks the rules) is the library's to judge, which is at a frame's beginning
whenever it is asked. What is sent while frames are read leaves in one write. Compression is off: it costs tens of kilobytes a socket.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from tenantry.http.socket import Accept, Listener, Socket

try:
    from websockets.speedups import apply_mask
except ImportError:  # no compiler where it was built: the same in Python
    from websockets.utils import apply_mask

if TYPE_CHECKING:
    from tenantry.http.message import Request
    from tenantry.http.server import NativeServer

CLOSE_SECONDS = 5.0
"""How long a client has to answer a close."""
TEXT_MESSAGE = 0x81
"""The first byte of a frame that is a whole text message: final, nothing reserved, opcode 1."""


KNOWN = frozenset(Opcode)


def frame_at(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """Where the payload of the frame at `at` begins, and where the frame ends; `end` is -1 while its head is not all there.

    A frame from a client is masked, so its payload follows four bytes of mask.
    """
    have = len(data) - at
    if have < 2:
        return 0, -1
    length = data[at + 1] & 0x7F
    head = 2
    if length >= 126:
        head = 4 if length == 126 else 10
        if have < head:
            return 0, -1
        length = int.from_bytes(data[at + 2 : at + head], "big")
    begins = at + head + 4
    return begins, begins + length


def text_message(data: bytes) -> bytes:
    """A server's frame with a whole text message: a server does not mask."""
    length = len(data)
    if length < 126:
        return b"\x81%c%b" % (length, data)
    if length < 1 << 16:
        return b"\x81\x7e%b%b" % (length.to_bytes(2, "big"), data)
    return b"\x81\x7f%b%b" % (length.to_bytes(8, "big"), data)


class NativeSocket(Socket):
    """A WebSocket on a transport. It is the transport's asyncio.Protocol from the handshake on."""

    __slots__ = (
        "closing_since", "held", "is_in_parts", "is_library_only", "listener", "max_bytes", "parts", "protocol", "server", "transport",
        "unsent", "wants",
    )  # fmt: skip

    def __init__(self, server: NativeServer, transport: Any, max_message_bytes: int) -> None:
        super().__init__()
        self.server = server
        self.transport = transport
        self.protocol = ServerProtocol(max_size=max_message_bytes, extensions=None)
        self.listener: Listener | None = None
        self.parts: list[bytes] = []
        self.closing_since = 0.0
        self.max_bytes = max_message_bytes
        self.held = bytearray()
        """The beginning of a frame whose end has not come."""
        self.wants = 0
        """How long `held` must be before it is worth looking at."""
        self.is_in_parts = False
        self.is_library_only = False
        """Whether the rules were broken: the library has the rest of the stream."""
        self.unsent: list[bytes] | None = None
        """What is sent while frames are read; None at all other times."""

    def shake(self, request: Request, accept: Accept) -> bool:
        """Answer the handshake; False: it was none, and was refused."""
        target = request.path.encode("latin-1") + (b"?" + request.query if request.query else b"")
        lines = b"".join(b"%b: %b\r\n" % pair for pair in request.headers)
        self.protocol.receive_data(b"GET " + target + b" HTTP/1.1\r\n" + lines + b"\r\n")
        for event in self.protocol.events_received():
            if isinstance(event, Handshake):
                self.protocol.send_response(self.protocol.accept(event))
        self._flush()
        if self.protocol.state is not OPEN:
            return False
        self.listener = accept.open(self)
        return True

    # ------------------------------------------------------------------ the transport's calls (asyncio.Protocol)

    def connection_made(self, transport: Any) -> None:
        """Never called: the transport was made before."""

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        held = self.held
        if held:
            held += data
            if len(held) < self.wants:
                return
            data = bytes(held)
            held.clear()
        unsent: list[bytes] = []
        self.unsent = unsent
        try:
            self._read(data)
        finally:
            self.unsent = None
            if unsent and not self.transport.is_closing():
                self.transport.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))

    def _read(self, data: bytes) -> None:
        at, size = 0, len(data)
        while at < size:
            if size - at >= 2 and not (data[at + 1] & 0x80 and data[at] & 0x0F in KNOWN):
                self.is_library_only = True
            if self.is_library_only or self.protocol.state is not OPEN:
                self._judge(data[at:])
                return
            begins, end = frame_at(data, at)
            if end - begins > self.max_bytes:
                self.is_library_only = True
                continue
            if end > size or end < 0:
                self.held += data[at:]
                self.wants = end - at
                return
            first = data[at]
            if first == TEXT_MESSAGE and not self.is_in_parts:
                if self.listener is not None and not self.is_closed:
                    self.listener.heard(apply_mask(data[begins:end], data[begins - 4 : begins]), is_binary=False)
            else:
                if first & 0x0F <= Opcode.BINARY:
                    self.is_in_parts = not first & 0x80
                self._judge(data[at:end])
            at = end

    def _judge(self, data: bytes) -> None:
        """Have the library look."""
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if isinstance(event, Frame):
                self._frame(event)
        self._flush()

    def eof_received(self) -> bool:
        """The client closed its half."""
        self.protocol.receive_eof()
        self._flush()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is closed."""
        self.server.connections.discard(self)
        self.is_closed = True
        self.resumed()
        listener, self.listener = self.listener, None
        if listener is not None:
            listener.lost()

    def pause_writing(self) -> None:
        """Too much is waiting to be sent: who does not read is not read from either."""
        self.paused()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """There is room again."""
        self.resumed()
        if not self.is_closed:
            self.transport.resume_reading()

    def _frame(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is Opcode.CONT or not frame.fin:
            # A message in parts; its size as a whole is bounded by the protocol's max_size.
            if frame.opcode is not Opcode.CONT:
                self.parts = [b"T" if frame.opcode is Opcode.TEXT else b"B"]
            self.parts.append(bytes(frame.data))
            if not frame.fin:
                if len(self.parts) > 64:
                    self.parts[1:] = [b"".join(self.parts[1:])]
                return
            kind, *rest = self.parts
            self.parts = []
            self._message(b"".join(rest), is_binary=kind == b"B")
            return
        self._message(bytes(frame.data), is_binary=frame.opcode is Opcode.BINARY)

    def _message(self, data: bytes, *, is_binary: bool) -> None:
        if self.listener is not None and not self.is_closed:
            self.listener.heard(data, is_binary=is_binary)

    # ------------------------------------------------------------------ the listener's calls

    def send(self, data: bytes) -> None:
        if self.is_closed or self.protocol.state is not OPEN:
            return
        unsent = self.unsent
        if unsent is None:
            self.transport.write(text_message(data))
        else:
            unsent.append(text_message(data))

    def close(self, code: int = 1000, reason: str = "") -> None:
        if self.is_closed or self.protocol.state is not OPEN:
            return
        try:
            self.protocol.send_close(CloseCode(code), reason)
        except (ProtocolError, ValueError):
            self.protocol.send_close(CloseCode.NORMAL_CLOSURE, "")
        self._flush()

    def abort(self) -> None:
        self.is_closed = True
        self.transport.abort()

    def _flush(self) -> None:
        for part in self.protocol.data_to_send():
            if part and self.unsent is not None:
                self.unsent.append(part)
            elif part:
                self.transport.write(part)
            else:
                if self.unsent:
                    self.transport.write(b"".join(self.unsent))
                    self.unsent.clear()
                self.transport.close()
        if self.protocol.state is not OPEN and not self.closing_since:
            self.closing_since = asyncio.get_running_loop().time()

    # ------------------------------------------------------------------ the server's calls

    def tick(self, now: float) -> None:
        """Several times a second: end what does not close."""
        if self.closing_since and now - self.closing_since > CLOSE_SECONDS:
            self.transport.abort()

    def drain(self) -> None:
        """The server is about to stop."""
        if self.listener is not None:
            self.listener.drain()

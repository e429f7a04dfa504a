"""WebSockets on the native server: the frames are `websockets`' (its Sans-I/O protocol), the socket is ours.

No task and no timer a socket: what comes in is handed on as it comes, and the server's one clock ends what does not close.
Compression is off: it costs tens of kilobytes a socket.
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

if TYPE_CHECKING:
    from tenantry.http.message import Request
    from tenantry.http.server import NativeServer

CLOSE_SECONDS = 5.0
"""How long a client has to answer a close."""


class NativeSocket(Socket):
    """A WebSocket on a transport. It is the transport's asyncio.Protocol from the handshake on."""

    __slots__ = ("closing_since", "listener", "parts", "protocol", "server", "transport")

    def __init__(self, server: NativeServer, transport: Any, max_message_bytes: int) -> None:
        super().__init__()
        self.server = server
        self.transport = transport
        self.protocol = ServerProtocol(max_size=max_message_bytes, extensions=None)
        self.listener: Listener | None = None
        self.parts: list[bytes] = []
        self.closing_since = 0.0

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
        self.protocol.send_text(data)
        self._flush()

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
            if part:
                self.transport.write(part)
            else:
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

"""A WebSocket as the application sees it, whoever carries it: the native server (`websocket`) or an ASGI server (`pushed`)."""

from __future__ import annotations

from typing import Protocol

from tenantry.http.flow import Outlet


class Listener(Protocol):
    """Who hears of a socket's messages."""

    def heard(self, text: bytes, *, is_binary: bool) -> None:
        """A whole message has come."""

    def lost(self) -> None:
        """The socket is closed; called once."""

    def drain(self) -> None:
        """The server is about to stop: tell the client to go elsewhere."""


class Accept(Protocol):
    """What takes a WebSocket: a message has at most `max_message_bytes`; `open` gives the listener of one."""

    max_message_bytes: int

    def open(self, socket: Socket) -> Listener:
        """The handshake is done."""
        ...


class Socket(Outlet):
    """One WebSocket, as the listener sees it: `send` is one text message, `end` closes, `abort` cuts."""

    __slots__ = ()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close with a code; what was sent before still goes out."""
        raise NotImplementedError

    def end(self) -> None:
        self.close()

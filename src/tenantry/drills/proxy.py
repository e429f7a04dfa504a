"""A broken network: a TCP proxy before the database, whose mode a drill sets.

`pass`; `blackhole` (accepts, then silence, on open connections too); `reset` (RST to all, now and new); `half` (what is sent arrives,
what is answered does not); `delay:MS` (each direction).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct


class Proxy:
    """Listens on a free loopback port. `mode` may be set at any time."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._mode = "pass"
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def mode(self) -> str:
        """What it does now."""
        return self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        self._mode = mode
        if mode == "reset":
            for writer in list(self._writers):
                _reset(writer)

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """End every connection, and the listener."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._client(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode == "reset":
            _reset(writer)
            return
        self._writers.add(writer)
        onward: asyncio.StreamWriter | None = None
        try:
            while self._mode == "blackhole":
                await asyncio.sleep(0.05)
            from_server, onward = await asyncio.open_connection("127.0.0.1", self.target)
            await asyncio.gather(
                self._pump(reader, onward, is_reply=False), self._pump(from_server, writer, is_reply=True)
            )
        except OSError:
            pass  # the server is gone: so is the connection
        finally:
            self._writers.discard(writer)
            writer.close()
            if onward is not None:
                onward.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                while self._mode == "blackhole" or (self._mode == "half" and is_reply):
                    await asyncio.sleep(0.05)
                if self._mode.startswith("delay:"):
                    await asyncio.sleep(int(self._mode[6:]) / 1000)
                writer.write(data)
                await writer.drain()
        writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    found: socket.socket | None = writer.get_extra_info("socket")
    if found is not None:
        with contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()

"""Frames cut by us against frames cut by the library: whatever comes, in whatever pieces, the same is heard and answered."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from websockets.protocol import OPEN

from tenantry.http import Request
from tenantry.http.websocket import NativeSocket, text_message

MOST = 70_000
SIZES = st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536, MOST, MOST + 1])


def frame(
    payload: bytes, *, opcode: int = 1, is_final: bool = True, mask: bytes | None = b"\1\2\3\4", reserved: int = 0
) -> bytes:
    first = opcode | (0x80 if is_final else 0) | reserved << 4
    bit = 0 if mask is None else 0x80
    size = len(payload)
    if size < 126:
        head = bytes([first, bit | size])
    elif size < 1 << 16:
        head = bytes([first, bit | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, bit | 127]) + size.to_bytes(8, "big")
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        assert not self.is_closed
        self.written.append(data)

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


class Heard:
    """A listener that answers each message in its own words."""

    def __init__(self, socket: NativeSocket) -> None:
        self.socket = socket
        self.messages: list[tuple[bytes, bool]] = []

    def heard(self, text: bytes, *, is_binary: bool) -> None:
        self.messages.append((text, is_binary))
        self.socket.send(b"heard %d" % len(text))

    def lost(self) -> None: ...

    def drain(self) -> None: ...


SHAKE = Request(
    "GET", "/trpc", b"",
    [
        (b"host", b"x"), (b"upgrade", b"websocket"), (b"connection", b"Upgrade"), (b"sec-websocket-version", b"13"),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    ],
    b"", None,
)  # fmt: skip


class Opening:
    max_message_bytes = MOST

    def open(self, socket: Any) -> Heard:
        self.heard = Heard(socket)
        return self.heard


def socket_of(*, library_only: bool = False) -> tuple[NativeSocket, Wire, Heard]:
    wire: Any = Wire()
    socket = NativeSocket(None, wire, MOST)  # pyright: ignore[reportArgumentType] - it asks its server only when it is lost
    opening = Opening()
    assert socket.shake(SHAKE, opening)
    wire.written.clear()
    socket.is_library_only = library_only
    return socket, wire, opening.heard


def fed(pieces: list[bytes], *, library_only: bool = False) -> tuple[list[tuple[bytes, bool]], bytes, bool, bool]:
    async def run() -> tuple[list[tuple[bytes, bool]], bytes, bool, bool]:
        socket, wire, heard = socket_of(library_only=library_only)
        for piece in pieces:
            if not wire.is_closed:
                socket.data_received(piece)
        return heard.messages, b"".join(wire.written), wire.is_closed, socket.protocol.state is OPEN

    return asyncio.run(run())


FRAMES = st.builds(
    frame,
    st.binary(max_size=200) | SIZES.map(lambda size: b"x" * size),
    opcode=st.sampled_from([1, 1, 1, 0, 2, 8, 9, 10, 3]),
    is_final=st.sampled_from([True, True, True, False]),
    mask=st.sampled_from([b"\1\2\3\4", b"\0\0\0\0", b"\xff\0\xff\0", b"\1\2\3\4", None]),
    reserved=st.sampled_from([0, 0, 0, 0, 4]),
)


def cut(data: bytes, places: list[float]) -> list[bytes]:
    at = sorted({int(place * len(data)) for place in places})
    return [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True) if b > a]


@given(st.lists(FRAMES, max_size=8), st.lists(st.floats(0, 1), max_size=12))
def test_whatever_comes_the_library_would_have_said_the_same(frames: list[bytes], places: list[float]) -> None:
    assert fed(cut(b"".join(frames), places)) == fed(frames, library_only=True)


@given(st.binary(max_size=300), st.lists(st.floats(0, 1), max_size=5))
def test_bytes_that_are_no_frames_end_as_they_would_with_the_library(data: bytes, places: list[float]) -> None:
    assert fed(cut(data, places)) == fed([bytes([byte]) for byte in data], library_only=True)


def test_a_frame_that_comes_byte_by_byte_is_heard_once_it_is_whole() -> None:
    data = frame(b"hello") + frame(b"", opcode=9) + frame(b"there")
    assert fed([bytes([byte]) for byte in data])[0] == [(b"hello", False), (b"there", False)]


def test_what_answers_the_frames_of_one_read_leaves_in_one_write() -> None:
    async def run() -> list[bytes]:
        socket, wire, _ = socket_of()
        socket.data_received(frame(b"a") * 20 + frame(b"", opcode=9) + frame(b"b"))
        return wire.written

    assert len(asyncio.run(run())) == 1


def test_what_is_sent_between_reads_leaves_at_once() -> None:
    async def run() -> list[bytes]:
        socket, wire, _ = socket_of()
        socket.send(b"now")
        return wire.written

    assert asyncio.run(run()) == [b"\x81\x03now"]


@given(SIZES)
def test_a_message_of_ours_is_a_frame_without_a_mask(size: int) -> None:
    assert text_message(b"y" * size) == frame(b"y" * size, mask=None)

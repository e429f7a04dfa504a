"""The nginx configuration of the guide, in Debian's nginx: it is valid, and requests, streams and WebSockets go through unbuffered."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.processes.place import Place

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx.conf"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not here: scripts/test-needs.sh")

STREAM = """
from collections.abc import AsyncIterator

@test.subscription(public=True)
async def count(ctx: Visitor) -> AsyncIterator[int]:
    for number in range(3):
        yield number
        await asyncio.sleep(0.7)
"""


class Front:
    """nginx as the guide sets it up, on ports of its own."""

    def __init__(self, place: Place) -> None:
        self.folder = place.folder / "nginx"
        self.folder.mkdir()
        self.port, plain = free_port(), free_port()
        certificate, key = self.folder / "platform.crt", self.folder / "platform.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=platform.example", "-keyout", key, "-out", certificate],
            check=True, capture_output=True,
        )  # fmt: skip
        (self.folder / "files").mkdir()
        (self.folder / "files" / "index.html").write_text("the front end")
        text = CONFIGURATION.read_text()
        for old, new in (
            ("127.0.0.1:3001;", f"127.0.0.1:{place.port};"), ("listen 80;", f"listen 127.0.0.1:{plain};"),
            ("listen 443 ssl http2;", f"listen 127.0.0.1:{self.port} ssl http2;"), ("/etc/ssl/platform.crt", str(certificate)),
            ("/etc/ssl/platform.key", str(key)), ("root /var/www/platform;", f"root {self.folder / 'files'};"),
        ):  # fmt: skip
            assert old in text, old
            text = text.replace(old, new)
        names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{name}_temp_path {self.folder}/{name};" for name in names)
        (self.folder / "nginx.conf").write_text(
            f"pid {self.folder}/pid; error_log {self.folder}/error.log; daemon off; master_process off; events {{}}\n"
            f"http {{ access_log off; {paths}\n{text}\n}}\n"
        )
        self.arguments = [
            str(NGINX),
            "-c",
            str(self.folder / "nginx.conf"),
            "-p",
            str(self.folder),
            "-e",
            str(self.folder / "error.log"),
        ]
        self.checked = subprocess.run([*self.arguments, "-t"], capture_output=True, text=True, check=False)
        self.process = subprocess.Popen(self.arguments, stderr=subprocess.DEVNULL)
        self.context = ssl.create_default_context(cafile=str(certificate))
        self.context.check_hostname = False
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"https://127.0.0.1:{self.port}{path}", context=self.context, timeout=20) as answer:
            return answer.read()

    def pieces(self, request: str) -> list[tuple[float, bytes]]:
        """What comes back, and when each piece came."""
        found: list[tuple[float, bytes]] = []
        started = time.monotonic()
        with (
            socket.create_connection(("127.0.0.1", self.port), 10) as raw,
            self.context.wrap_socket(raw, server_hostname="platform.example") as connection,
        ):
            connection.sendall(request.encode())
            with contextlib.suppress(TimeoutError):
                while piece := connection.recv(65536):
                    found.append((time.monotonic() - started, piece))
                    if b"101 Switching" in piece:
                        break
        return found


@pytest.fixture
def front(place: Place) -> Iterator[Front]:
    with (place.folder / "served.py").open("a") as file:
        file.write(STREAM)
    place.serve()
    made = Front(place)
    try:
        yield made
    finally:
        made.process.terminate()
        made.process.wait(10)


def test_one_origin_for_files_calls_streams_and_websockets(front: Front) -> None:
    assert front.checked.returncode == 0, front.checked.stderr
    assert front.get("/") == b"the front end"
    assert json.loads(front.get("/trpc/test.ping"))["result"]["data"] == "pong"
    assert json.loads(front.get("/healthz"))["ready"] is True

    head = "HTTP/1.1\r\nhost: platform.example\r\n"
    events = front.pieces(f"GET /trpc/test.count {head}accept: text/event-stream\r\nconnection: close\r\n\r\n")
    first = next(at for at, piece in events if b"data: 0" in piece)
    last = next(at for at, piece in events if b"data: 2" in piece)
    assert last - first > 0.9, events

    slow = "%7B%220%22%3A%7B%22seconds%22%3A0%7D%2C%221%22%3A%7B%22seconds%22%3A1.5%7D%7D"
    lines = front.pieces(
        f"GET /trpc/test.slow,test.slow?batch=1&input={slow} {head}trpc-accept: application/jsonl\r\nconnection: close\r\n\r\n"
    )
    done = [at for at, piece in lines for _ in range(piece.count(b"done"))]
    assert len(done) == 2, lines
    assert done[1] - done[0] > 0.7, lines

    upgrade = "upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    opened = front.pieces(f"GET /trpc {head}{upgrade}\r\n")
    assert b"101 Switching Protocols" in opened[0][1], opened

"""What a peer answers, without what is each server's own: of errors what a client acts on, of streams what they say and not how they are cut."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.clients.differential.made import Request


async def ask(port: int, request: Request) -> dict[str, Any]:
    """Status and body of the answer; what is no HTTP answer is `{"cut": True}`."""
    method, target, headers, body = request
    lines = [f"{method} {target} HTTP/1.1", "host: x", "connection: close", *(f"{k}: {v}" for k, v in headers)]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"content-length: {len(body)}")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        raw = await asyncio.wait_for(whole(reader, method), 8)
    except TimeoutError:
        return {"silent": True}
    except ConnectionError:
        return {"cut": True}
    finally:
        writer.transport.abort()
    head, _, rest = raw.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.1 (\d+)", head)
    if status is None:
        return {"cut": True}
    if b"transfer-encoding: chunked" in head.lower():
        rest = unchunked(rest)
    found: dict[str, Any] = {"status": int(status.group(1))}
    allow = re.search(rb"^allow: (.*?)\r?$", head, re.I | re.M)
    if allow is not None:
        found["allow"] = allow.group(1).decode()
    text = rest.decode()
    if b"text/event-stream" in head.lower():
        found["events"] = [
            plain_event(block) for block in re.split(r"\n\n+", text) if block and "event: ping" not in block
        ]
    elif re.match(r"\s*\{\"0\":\[\[0\],\[null", text) or text.startswith('{"json":{"0":[[0],[null'):
        found["lines"] = resolved(text)
    elif text:
        found["body"] = plain(json.loads(text))
    return found


async def whole(reader: asyncio.StreamReader, method: str) -> bytes:
    """An answer to its end, which is not always the connection's."""
    raw = b""
    while part := await reader.read(1 << 16):
        raw += part
        head, gap, rest = raw.partition(b"\r\n\r\n")
        length = re.search(rb"^content-length: (\d+)", head, re.I | re.M)
        if gap and (
            method == "HEAD"
            or b" 204 " in head[:20]
            or (length is not None and len(rest) >= int(length.group(1)))
            or (b"transfer-encoding: chunked" in head.lower() and rest.endswith(b"0\r\n\r\n"))
        ):
            break
    return raw


def unchunked(body: bytes) -> bytes:
    parts: list[bytes] = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        parts.append(rest[: int(size or b"0", 16)])
        body = rest[int(size or b"0", 16) + 2 :]
    return b"".join(parts)


OWN_WORDS = re.compile(r"^(No procedure found|No \"|Unsupported (GET|POST|PUT|DELETE|PATCH|OPTIONS)-request|Batch call exceeds|Batching is not|Cannot (mix|batch|use|return)|Duplicate id|\"input\" needs|Only POST|Missing content|sign in first|admin role|context refused|division|Streaming requests|stream failure|deferred failure|gone$)")  # fmt: skip
"""Messages that front ends may compare; those of validation and of JSON are each server's own."""


def plain(value: Any) -> Any:  # noqa: PLR0911 - one shape after another
    """What a client acts on: of an error its code, its name, its status, its path, and tRPC's own words."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # JSON does not tell them apart
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("code"), int) and isinstance(value.get("data"), dict) and "httpStatus" in value["data"]:
        data, message = value["data"], value.get("message", "")
        own = message if OWN_WORDS.match(message) else None
        return {
            "code": value["code"],
            "name": data["code"],
            "status": data["httpStatus"],
            "path": data.get("path"),
            "says": own,
        }
    if value.get("result") == {}:
        return {"result": {"data": None}}
    if value.get("result") == {"type": "data"}:
        return {**value, "result": {"type": "data", "data": None}}
    if list(value) == ["json", "meta"] and value["meta"] == {"values": ["undefined"], "v": 1}:
        return {"json": None}
    return {key: plain(member) for key, member in value.items()}


def plain_event(block: str) -> dict[str, Any]:
    fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
    try:
        data = plain(json.loads(fields.get("data", "null") or "null"))
    except ValueError:
        data = fields["data"]
    return {"event": fields.get("event"), "id": fields.get("id"), "data": data}


def resolved(text: str) -> Any:
    """Each call's outcome out of the lines of a streamed batch, whatever the way it was cut into chunks."""
    lines = [json.loads(line) for line in text.splitlines() if line.strip()]
    lines = [line["json"] if isinstance(line, dict) and "json" in line else line for line in lines]
    chunks: dict[int, list[tuple[int, Any]]] = {}
    for chunk, status, payload in lines[1:]:
        chunks.setdefault(chunk, []).append((status, payload))

    def value_of(encoded: Any) -> Any:
        if not encoded or not isinstance(encoded[0], list):
            return encoded
        value = encoded[0][0] if encoded[0] else None
        for key, kind, chunk in encoded[1:]:
            inner = outcome(kind, chunk)
            if key is None:
                value = inner
            else:
                value[key] = inner
        return value

    def outcome(kind: int, chunk: int) -> Any:
        found = chunks.get(chunk, [])
        if kind == 0:
            return next(("rejected", plain(p)) if s else value_of(p) for s, p in found) if found else "open"
        return [("failed", plain(p)) if s == 2 else ("returned" if s == 0 else value_of(p)) for s, p in found]

    head = lines[0]
    return plain({key: value_of(encoded) for key, encoded in head.items()})


async def talk(port: int, mount: str, frames: list[str], headers: dict[str, str]) -> list[Any]:
    """All that a socket says to each frame, sent one after the other, without the order in which calls end."""
    heard: list[Any] = []
    try:
        async with connect(f"ws://127.0.0.1:{port}/{mount}", additional_headers=headers, compression=None) as socket:
            for text in frames:
                await socket.send(text)
                said: list[str] = []
                try:
                    while True:
                        message = await asyncio.wait_for(socket.recv(), 0.25)
                        said.append(
                            message
                            if message in ("PING", "PONG")
                            else json.dumps(plain(json.loads(message)), sort_keys=True)
                        )
                except TimeoutError:
                    heard.append(sorted(said))
    except ConnectionClosed:
        heard.append("closed")
    return heard

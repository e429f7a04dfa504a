"""Requests and messages as clients, proxies and attackers send them, put together at random from a seed."""

from __future__ import annotations

import json
import random
import re
from urllib.parse import quote

PATHS = [
    "ping", "greet", "echo", "echoMutation", "nothing", "types.scalar", "math.add", "math.divide", "err.code", "err.crash", "a.b.c.deep",
    "who.me", "who.admin", "who.promote", "who.params", "sub.count", "sub.tracked", "sub.mixed", "sub.values", "sub.echo", "sub.me",
    "sub.fail", "defer.one", "defer.list", "defer.fails", "upload.form", "upload.octet", "nope", "types", "a", "a.b.c", "mw.order", "meta.created",
    "cached.now", "cached.fails",
]  # fmt: skip
ODD_PATHS = [
    "", ".", "..", "ping.", ".ping", "ping..", "pi%6Eg", "a%2Eb.c.deep", "%70ing", "ping%2C", "ping%2Cping", "%", "%zz", "%C3%28", "ping%00", "Ping",
    "toString", "__proto__", "constructor", "hasOwnProperty", "a.b.c.constructor", "ping.__proto__", "ping/", "ping//", "/ping", "ping/ping",
    "ping%2F", "ping?", "ping;x", "ping,", ",ping", ",", "ping,,ping", "types.all.x", "a/b/c/deep", "caf%C3%A9", "%F0%9F%98%80", "ping%20", "%20ping", "ping+",
]  # fmt: skip
VALUES = [
    "", "null", "undefined", "{}", "[]", "0", "-1", "1.0", "1.5", "1e3", "-0", "true", '"x"', '""', '{"name":"x"}', '{"name":""}', '{"name":5}', '{"name":null}',
    '{"name":"x","more":1}', '{"a":1,"b":2}', '{"a":1.0,"b":2}', '{"a":1.5,"b":2}', '{"a":"1","b":2}', '{"a":true,"b":2}', '{"a":1}', '{"a":4,"b":0}', '{"x":1}',
    '{"which":"list"}', '{"which":"no"}', '{"code":"CONFLICT"}', '{"code":"NOT_FOUND","message":"m"}', '{"code":"GATEWAY_TIMEOUT"}', '{"count":2}', '{"count":0}',
    '{"count":2,"ms":0}', '{"count":"2"}', '{"values":[1,null,"a\\nb"]}', '{"values":[]}', '{"after":1,"code":"CONFLICT"}', '{"after":0,"code":"UNAUTHORIZED"}',
    "{", '{"name":"x"', "nul", "'x'", "[1,]", '{"a":1,}', '{"name":"x"}}', "\ufeffnull", '{"name":"x","name":"y"}', '{"__proto__":{"name":"x"}}', '"\\u0000"', '"é😀"',
    '{"name":"é😀"}', "[[[[[[1]]]]]]", "1 2", " 1 ", "\t\n{}", "NaN", "Infinity", "0x10", "01", '{"lastEventId":"1","count":4}', '{"lastEventId":5,"count":2}',
]  # fmt: skip
BATCH_INPUTS = [
    "{}", "[]", "null", "5", '"x"', "[1,2]", "", "{", '{"0":1}', '{"0":{"name":"x"},"1":{"name":"y"}}', '{"1":{"name":"y"}}', '{"00":{"name":"y"}}', '{"-1":1}',
    '{"0":{"a":1,"b":2},"1":{"count":1}}', '{"2":null,"x":1}', '{"0":undefined}', '{"0":null}', "{0:1}",
]  # fmt: skip
TYPES = [
    None, "application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
    "multipart/form-data; boundary=x", "application/octet-stream", "application/jsonl", "json", "", "application/json-patch+json", "application/json,text/plain",
]  # fmt: skip
FORM = '--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n--x\r\ncontent-disposition: form-data; name="f"; filename="q.txt"\r\n\r\nhi\r\n--x--\r\n'
Request = tuple[str, str, list[tuple[str, str]], bytes]


def request_of(rng: random.Random) -> Request:  # noqa: PLR0912 - one choice after another
    """One HTTP request: method, target, headers, body."""
    mount = rng.choice(["trpc"] * 6 + ["superjson", "strict", "tuned"])
    path = rng.choice(ODD_PATHS) if rng.random() < 0.15 else rng.choice(PATHS)
    is_batch = rng.random() < 0.35
    if is_batch and rng.random() < 0.8:
        path = ",".join(
            rng.choice(PATHS if rng.random() < 0.9 else ODD_PATHS) for _ in range(rng.choice([1, 2, 2, 3, 4, 11]))
        )
    query: list[str] = []
    if is_batch:
        query.append("batch=" + rng.choice(["1"] * 12 + ["0", "", "true", "2", "%31", "1&batch=0"]))
    method = rng.choice(["GET"] * 5 + ["POST"] * 4 + ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
    value = rng.choice(BATCH_INPUTS) if is_batch and rng.random() < 0.7 else rng.choice(VALUES)
    if mount == "superjson" and rng.random() < 0.8:
        value = wrapped(value, rng, is_batch=is_batch)
    body = b""
    headers: list[tuple[str, str]] = []
    kind = rng.choice([None, "application/json"]) if method == "GET" else rng.choice(["application/json"] * 10 + TYPES)  # type: ignore[list-item]
    if kind is not None:
        headers.append(("content-type", kind))
    if method == "GET" or rng.random() < 0.1:
        if rng.random() < 0.85:
            query.append("input=" + quote(value, safe=rng.choice(["", "{}:,[]"])))
    else:
        body = FORM.encode() if kind is not None and kind.startswith("multipart") else value.encode()
    if rng.random() < 0.1:
        query.append(
            "connectionParams="
            + quote(rng.choice(['{"token":"member-token"}', "null", "5", "{", '{"a":1}', "[]", '{"token":"boom"}']))
        )
    if rng.random() < 0.1:
        query.append(
            rng.choice(
                ["lastEventId=1", "Last-Event-Id=0", "lastEventId=", "x=y", "input", "&&", "input=1&input=2", "Input=1"]
            )
        )
    rng.shuffle(query)
    if rng.random() < 0.15:
        headers.append(("authorization", "Bearer " + rng.choice(["member-token", "admin-token", "boom", "other"])))
    if rng.random() < 0.15:
        headers.append(("trpc-accept", rng.choice(["application/jsonl", "application/json", "x"])))
    if rng.random() < 0.1:
        headers.append(
            ("accept", rng.choice(["application/jsonl", "text/event-stream", "*/*", "a, application/jsonl ,b"]))
        )
    if rng.random() < 0.08:
        headers.append(("last-event-id", rng.choice(["0", "1", "", "x"])))
    return method, f"/{mount}/{path}" + ("?" + "&".join(query) if query else ""), headers, body


def wrapped(value: str, rng: random.Random, *, is_batch: bool) -> str:
    """The value as superjson has it, now and then with a meta."""
    if is_batch:
        return re.sub(r'("\d+"):(\{[^{}]*\}|[^,{}]+)', r'\1:{"json":\2}', value)
    meta = rng.choice(
        [""] * 6
        + [
            ',"meta":{"values":["undefined"]}',
            ',"meta":{"values":{"a":["Date"]}}',
            ',"meta":{"values":{"__proto__":["Date"]}}',
            ',"meta":5',
        ]
    )
    return f'{{"json":{value or "null"}{meta}}}'


# ------------------------------------------------------------------ WebSockets

METHODS = ["query"] * 5 + ["mutation"] * 3 + ["subscription"] * 4 + ["subscription.stop", "nope", "", "reconnect"]
SCRAPS = [
    "", "{", "null", "5", "[]", "[[]]", "[null]", "{}", '"PING"', "PING", "PONG", "ping", '{"id":1}', '{"id":null,"method":"query","params":{"path":"ping"}}',
    '{"method":"query","params":{"path":"ping"}}', '{"id":1,"method":"query"}', '{"id":1,"method":"query","params":null}', '{"id":1,"method":"query","params":{}}',
    '{"id":{},"method":"query","params":{"path":"ping"}}', '{"id":true,"method":"query","params":{"path":"ping"}}', '{"id":"","method":"query","params":{"path":"ping"}}',
    '{"id":1.5,"method":"query","params":{"path":"ping"}}', '{"id":1,"jsonrpc":"1.0","method":"query","params":{"path":"ping"}}',
    '{"id":1,"jsonrpc":"2.0","method":"query","params":{"path":"ping"}}', '{"id":1,"method":"query","params":{"path":5}}', '{"id":1,"method":"subscription.stop"}',
    '{"method":"connectionParams","data":{"token":"member-token"}}', '{"id":1,"method":"query","params":{"path":"ping","input":{"json":1}}} x',
]  # fmt: skip


def frame_of(rng: random.Random) -> str:
    if rng.random() < 0.25:
        return rng.choice(SCRAPS)
    frames: list[str] = []
    for _ in range(rng.choice([1, 1, 1, 2, 3, 11])):
        value = rng.choice([v for v in VALUES if is_json(v)])
        given = "" if rng.random() < 0.2 else f',"input":{value}'
        last = "" if rng.random() < 0.9 else ',"lastEventId":' + rng.choice(['"1"', "1", "null", '""'])
        id_ = rng.choice(["1", "2", "3", '"a"', "4", "5"])
        path = rng.choice([p for p in PATHS if p not in ("err.crash",)] + ["", "constructor", "ping,ping"])
        frames.append(
            f'{{"id":{id_},"method":"{rng.choice(METHODS)}","params":{{"path":{json.dumps(path)}{given}{last}}}}}'
        )
    return frames[0] if len(frames) == 1 else "[" + ",".join(frames) + "]"


def is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=lambda _: 1 / 0)
    except (ValueError, ZeroDivisionError):
        return False
    return True

"""FIXTURE.md's application (tests/clients/trpc), with Tenantry's public API only. `make fixture PORT=4100` serves it."""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Annotated, Any, Literal, TypedDict

import tenantry
from tenantry import (
    UNSET,
    BadRequest,
    Call,
    Conflict,
    Deferred,
    Field,
    File,
    Forbidden,
    Form,
    Jsonl,
    Meta,
    Next,
    NotFound,
    Octets,
    Record,
    ResponseInfo,
    ResponseMeta,
    RpcError,
    Sse,
    Tenantry,
    TooManyRequests,
    Tracked,
    Unauthorized,
    Unset,
    Visitor,
    WebSockets,
    Whole,
)
from tenantry.rpc.superjson import UNDEFINED, Map

app = Tenantry(case="as_written")
app.mount(
    "/trpc", allow_method_override=True, max_batch=10, max_body_bytes=65536, development=False,
    sse=Sse(ping_ms=200, reconnect_after_inactivity_ms=2000), ws=WebSockets(ping_ms=None, max_batch=10),
)  # fmt: skip
NO_SSE = Sse(ping_ms=None, reconnect_after_inactivity_ms=None)
app.mount(
    "/superjson", transformer="superjson", allow_method_override=True, max_batch=10_000, max_body_bytes=1 << 30, development=False,
    sse=NO_SSE, ws=WebSockets(ping_ms=None),
)  # fmt: skip
app.mount("/strict", batching=False, max_body_bytes=1 << 30, development=True, sse=NO_SSE, ws=WebSockets(ping_ms=None))
app.mount(
    "/tuned", max_batch=10_000, max_body_bytes=1 << 30, development=False,
    sse=Sse(ping_ms=None, reconnect_after_inactivity_ms=None, max_duration_ms=400),
    jsonl=Jsonl(ping_ms=50, content_type="application/jsonl"), ws=WebSockets(ping_ms=150, pong_wait_ms=150),
)  # fmt: skip

Name = Annotated[str, Meta(min_length=1, max_length=100)]
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

# ---------------------------------------------------------------- the context, and what errors and answers carry


class Identity(TypedDict):
    user: str
    role: str


TOKENS = {"admin-token": Identity(user="ada", role="admin"), "member-token": Identity(user="mel", role="member")}


def token_of(ctx: Visitor) -> str:
    authorization = ctx.header("authorization") or ""
    if authorization.startswith("Bearer ") and len(authorization) > 7:
        return authorization[7:]
    return (ctx.connection_params or {}).get("token", "")


@app.admission
async def admit(ctx: Visitor) -> None:
    if token_of(ctx) == "boom":
        raise Unauthorized("context refused")


class Identified(Visitor):
    identity: Identity


async def identified(ctx: Visitor) -> Identified:
    identity = TOKENS.get(token_of(ctx))
    if identity is None:
        raise Unauthorized("sign in first")
    return ctx.extend(Identified, identity=identity)


async def as_admin(ctx: Visitor) -> Identified:
    made = await identified(ctx)
    if made.identity["role"] != "admin":
        raise Forbidden("admin role required")
    return made


class Fields(Record):
    fields: dict[str, list[str]] | None


@app.error_data
def fields(error: Exception, path: str | None) -> Fields:
    issues = error.data.get("issues") if isinstance(error, RpcError) else None
    if not issues or any(issue["code"] == "invalid_json" for issue in issues):
        return Fields(fields=None)
    found: dict[str, list[str]] = defaultdict(list)
    for issue in issues:
        found[str(issue["path"][0]) if issue["path"] else ""].append(issue["message"])
    return Fields(fields=found)


@app.response_meta
def meta(info: ResponseInfo) -> ResponseMeta:
    headers = {"vary": "origin"}
    if (
        not info.is_eager
        and info.type == "query"
        and not info.errors
        and all(p.startswith("cached.") for p in info.paths)
    ):
        headers["cache-control"] = "public, max-age=60"
    is_created = not info.errors and bool(info.paths) and all(path == "meta.created" for path in info.paths)
    return ResponseMeta(status=201 if is_created else None, headers=headers)


# ---------------------------------------------------------------- state, shared by all mounts


@dataclass
class Probe:
    opened: int = 0
    closed: int = 0


counters: dict[str, int] = defaultdict(int)
probes: dict[str, Probe] = defaultdict(Probe)


@dataclass
class Opened:
    """Closed is counted when the client has gone, or the generator is closed."""

    key: str
    probe: Probe = field(init=False)

    def __post_init__(self) -> None:
        self.probe = probes[self.key]
        self.probe.opened += 1


TYPES_ALL = {
    "str": "text", "empty": "", "int": 42, "neg": -7, "zero": 0, "float": 1.5, "big": 9007199254740991, "exp": 1e21,
    "yes": True, "no": False, "nil": None, "list": [1, "two", None, [3]], "none": [], "obj": {"k": {"deep": [{"v": 1}]}},
    "void": {}, "unicode": "žluťoučký kůň – 你好 – مرحبا – 👩‍👩‍👧‍👦",
    "escapes": "\"\\/\b\f\n\r\t\u0000\u2028\u2029</script>", "": "empty key", "a.b": "dotted key", "0": "digit key",
}  # fmt: skip


def describe(value: Any) -> str:
    if value is UNDEFINED or value is UNSET:
        return "undefined"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    kinds = [
        (Map, "map"), (datetime, "date"), (tenantry.rpc.BigInt, "bigint"), ((set, frozenset), "set"), ((int, float), "number"),
        (str, "string"), (list, "array"),
    ]  # fmt: skip
    return next((name for kind, name in kinds if isinstance(value, kind)), "object")


# ---------------------------------------------------------------- procedures

root = app.router("", public=True)


@root.query
async def ping(ctx: Visitor) -> str:
    return "pong"


@root.query
async def greet(ctx: Visitor, name: Name) -> dict[str, str]:
    return {"text": f"Hello, {name}!"}


def got(value: Any) -> dict[str, Any]:
    return {"got": None if value is UNSET else value}


@root.query
async def echo(ctx: Visitor, value: Whole[Any] = UNSET) -> dict[str, Any]:
    return got(value)


@root.mutation
async def echoMutation(ctx: Visitor, value: Whole[Any] = UNSET) -> dict[str, Any]:
    return got(value)


@root.mutation
async def nothing(ctx: Visitor) -> None:
    return None


@root.query
async def slow(ctx: Visitor, ms: int, value: Any = None) -> Any:
    await asyncio.sleep(ms / 1000)
    return value


@root.query
async def hold(ctx: Visitor, key: str, ms: int) -> str:
    held = Opened(key).probe
    try:
        await asyncio.sleep(ms / 1000)
    except asyncio.CancelledError:
        held.closed += 1
        raise
    return "held"


@root.query
async def probe(ctx: Visitor, key: str) -> Probe:
    return probes[key]


types = app.router("types", public=True)


@types.query(name="all")
async def types_all(ctx: Visitor) -> dict[str, Any]:
    return TYPES_ALL


@types.query(name="describe")
async def types_describe(ctx: Visitor, value: Whole[Any] = UNSET) -> str:
    return describe(value)


@types.query
async def scalar(ctx: Visitor, which: str) -> Any:
    table: dict[str, Any] = {
        "string": "x", "number": 1, "true": True, "false": False, "null": None, "list": [], "zero": 0, "empty": "",
    }  # fmt: skip
    return table.get(which)


@types.query
async def big(ctx: Visitor, n: int) -> str:
    return "x" * n


@types.query
async def rich(ctx: Visitor) -> dict[str, Any]:
    return {
        "at": EPOCH, "big": tenantry.rpc.BigInt(9007199254740993), "set": {1, 2}, "map": Map({"k": {"at": EPOCH}}),
        "undef": UNDEFINED, "nan": float("nan"), "inf": float("-inf"), "plain": "p",
    }  # fmt: skip


@types.query
async def richInput(ctx: Visitor, value: Whole[Any]) -> dict[str, Any]:
    return {"kinds": {key: describe(member) for key, member in value.items()}, "back": value}


@types.mutation
async def dateInput(ctx: Visitor, at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


math = app.router("math", public=True)


@math.query
async def add(ctx: Visitor, a: int, b: int) -> int:
    return a + b


@math.query
async def divide(ctx: Visitor, a: float, b: float) -> float:
    if b == 0:
        raise BadRequest("division by zero")
    return a / b


counter = app.router("counter", public=True)


@counter.query
async def get(ctx: Visitor, key: str) -> int:
    return counters[key]


class Counted(TypedDict):
    key: str
    value: int


@counter.mutation
async def increment(ctx: Visitor, key: str, by: int = 1) -> Counted:
    counters[key] += by
    return {"key": key, "value": counters[key]}


@app.router("a.b.c", public=True).query
async def deep(ctx: Visitor) -> str:
    return "deep"


err = app.router("err", public=True)


class Chosen(RpcError):
    """An error with the code that the caller chose."""

    def __init__(self, code: str, message: str) -> None:
        self.trpc = code  # type: ignore[misc,assignment] - one of tRPC's names, as the fixture wants it
        super().__init__(message)


@err.query
async def code(ctx: Visitor, code: str, message: str | Unset = UNSET) -> None:
    raise Chosen(code, code if message is UNSET else message)


@err.mutation
async def codeMutation(ctx: Visitor, code: str, message: str | Unset = UNSET) -> None:
    raise Chosen(code, code if message is UNSET else message)


@err.query
async def crash(ctx: Visitor) -> None:
    raise RuntimeError("secret detail")


who = app.router("who", public=True, ctx=identified)
who_admin = app.router("who", public=True, ctx=as_admin)
who_public = app.router("who", public=True)


@who.query
async def me(ctx: Identified) -> Identity:
    return ctx.identity


@who_admin.query
async def admin(ctx: Identified, x: int) -> int:
    return x


@who_admin.mutation
async def promote(ctx: Identified) -> str:
    return "promoted"


@who_public.query
async def params(ctx: Visitor) -> dict[str, str] | None:
    return ctx.connection_params


class Trailed(Visitor):
    trail: list[str]


async def trailed(ctx: Visitor) -> Trailed:
    return ctx.extend(Trailed, trail=[])


mw = app.router("mw", public=True, ctx=trailed)


@mw.middleware
async def outer(ctx: Trailed, call: Call, next: Next) -> object:
    ctx.trail.append("outer")
    return await next()


@mw.middleware
async def inner(ctx: Trailed, call: Call, next: Next) -> object:
    ctx.trail.append("inner")
    return await next()


@mw.query
async def order(ctx: Trailed) -> list[str]:
    return [*ctx.trail, "handler"]


@app.router("req", public=True).query
async def header(ctx: Visitor, name: str) -> str | None:
    return ctx.header(name)


@app.router("cookie", public=True).mutation
async def login(ctx: Visitor) -> str:
    ctx.set_header("set-cookie", "sid=abc; Path=/; HttpOnly; SameSite=Lax")
    ctx.set_header("set-cookie", "theme=dark; Path=/")
    return "ok"


cached = app.router("cached", public=True)


@cached.query
async def now(ctx: Visitor) -> str:
    return "cacheable"


@cached.query
async def fails(ctx: Visitor) -> None:
    raise NotFound("gone")


@app.router("meta", public=True).mutation
async def created(ctx: Visitor) -> str:
    return "created"


# ---------------------------------------------------------------- what comes later

defer = app.router("defer", public=True)


class Two(Record):
    now: str
    later: Deferred[str]


async def after(seconds: float, value: Any) -> Any:
    await asyncio.sleep(seconds)
    return value


@defer.query
async def one(ctx: Visitor) -> Two:
    return Two(now="now", later=after(0.05, "later"))


@defer.query
async def nested(ctx: Visitor) -> dict[str, Awaitable[Any]]:
    async def user() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"name": "ada", "posts": after(0.02, [{"id": 1}, {"id": 2}])}

    return {"user": user()}


@defer.query(name="fails")
async def defer_fails(ctx: Visitor) -> dict[str, Any]:
    async def bad() -> None:
        await asyncio.sleep(0.02)
        raise Conflict("deferred failure")

    return {"ok": "yes", "bad": bad()}


@defer.query(name="list")
async def defer_list(ctx: Visitor, count: int, ms: int = 0) -> AsyncIterator[int]:
    for i in range(count):
        await asyncio.sleep(ms / 1000)
        yield i


@defer.query
async def listFails(ctx: Visitor) -> AsyncIterator[str]:
    yield "a"
    yield "b"
    raise TooManyRequests("list failure")


@defer.query
async def inObject(ctx: Visitor) -> dict[str, Any]:
    async def items() -> AsyncIterator[dict[str, int]]:
        for i in (1, 2, 3):
            yield {"i": i}

    return {"total": 3, "items": items()}


@defer.query(name="hold")
async def defer_hold(ctx: Visitor, key: str) -> AsyncIterator[str]:
    held = Opened(key).probe
    try:
        yield "open"
        await asyncio.Event().wait()
    finally:
        held.closed += 1


# ---------------------------------------------------------------- uploads

upload = app.router("upload", public=True)


class Uploaded(TypedDict):
    field: str
    name: str
    type: str
    size: int
    sha256: str


class Digest(TypedDict):
    size: int
    sha256: str


async def digest(stream: Octets) -> Digest:
    sha = hashlib.sha256()
    async for chunk in stream:
        sha.update(chunk)
    return {"size": stream.size, "sha256": sha.hexdigest()}


@upload.mutation
async def form(ctx: Visitor, form: Form) -> dict[str, Any]:
    texts: dict[str, list[str]] = {}
    files: list[Uploaded] = []
    async for part in form:
        match part:
            case Field(name, value):
                texts.setdefault(name, []).append(value)
            case File():
                of = await digest(part)
                files.append({"field": part.field, "name": part.name, "type": part.type, **of})
    return {"fields": texts, "files": files}


@upload.mutation
async def octet(ctx: Visitor, body: Octets) -> Digest:
    return await digest(body)


# ---------------------------------------------------------------- subscriptions

sub = app.router("sub", public=True)
sub_me = app.router("sub", public=True, ctx=identified)


@sub.subscription
async def count(ctx: Visitor, count: int, ms: int = 0) -> AsyncIterator[int]:
    for i in range(count):
        await asyncio.sleep(ms / 1000)
        yield i


@sub.subscription
async def tracked(
    ctx: Visitor, count: int, ms: int = 0, last_event_id: str | Unset = UNSET
) -> AsyncIterator[Tracked[dict[str, int]]]:
    for i in range(0 if last_event_id is UNSET else int(last_event_id) + 1, count):
        await asyncio.sleep(ms / 1000)
        yield Tracked(str(i), {"i": i})


@sub.subscription
async def mixed(ctx: Visitor) -> AsyncIterator[Tracked[str] | str]:
    yield Tracked("a", "first")
    yield "second"
    yield Tracked("b", "third")


@sub.subscription
async def values(ctx: Visitor, values: Any) -> AsyncIterator[Any]:
    for value in values:
        yield value


@sub.subscription(name="echo")
async def sub_echo(ctx: Visitor, value: Whole[Any] = UNSET) -> AsyncIterator[dict[str, Any]]:
    yield got(value)


@sub.subscription
async def fail(ctx: Visitor, after: int, code: str) -> AsyncIterator[int]:
    for i in range(after):
        yield i
    raise Chosen(code, "stream failure")


@sub.subscription
async def failOnce(
    ctx: Visitor, key: str, last_event_id: str | Unset = UNSET
) -> AsyncIterator[Tracked[dict[str, Any]]]:
    connection = probes[key]
    connection.opened += 1
    number = connection.opened
    yield Tracked(f"e{number}", {"connection": number, "resumed": None if last_event_id is UNSET else last_event_id})
    if number == 1:
        raise Chosen("SERVICE_UNAVAILABLE", "try again")


@sub.subscription(name="hold")
async def sub_hold(ctx: Visitor, key: str) -> AsyncIterator[str]:
    held = Opened(key).probe
    try:
        yield "open"
        await asyncio.Event().wait()
    finally:
        held.closed += 1


@sub_me.subscription(name="me")
async def subscribed_me(ctx: Identified) -> AsyncIterator[Identity]:
    yield ctx.identity


@sub.subscription
async def date(ctx: Visitor) -> AsyncIterator[dict[str, datetime]]:
    yield {"at": EPOCH}


ws = app.router("ws", public=True)


@ws.mutation
async def reconnectAll(ctx: Visitor) -> Literal[True]:
    ctx.mount.broadcast_reconnect()
    return True


@ws.mutation
async def dropAll(ctx: Visitor) -> Literal[True]:
    asyncio.get_running_loop().call_later(0.02, ctx.mount.drop_sockets)
    return True

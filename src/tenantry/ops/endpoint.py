"""What operations answer over HTTP beside the API: the four health calls under their paths, and `/metrics`.

The ops listener serves it whole; on the API's own port there is only `/metrics`, and only if it is asked for. It knows no
tenant and no session, so it needs neither pool nor dispatcher.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tenantry.errors import NotFound, RpcError, Unauthorized
from tenantry.http import Request, Response, Running
from tenantry.ops.health.procedures import NEEDS_TOKEN
from tenantry.ops.health.report import Health
from tenantry.ops.metrics import OPEN_METRICS, PLAIN, text, wants_open_metrics
from tenantry.rpc import CODES, Answer, combine, failure, http_status, shape

Respond = Callable[[Response], None]

METRICS_PATH = "/metrics"
_NO_STORE = (b"cache-control", b"no-store")
_HEADERS = [(b"content-type", b"application/json"), _NO_STORE]
MOST_CALLS = 8


def scrape(health: Health, request: Request) -> Response:
    """The answer to `GET /metrics`."""
    if not health.access.may_see_metrics(request.headers):
        return Response(401, (NEEDS_TOKEN + "\n").encode(), [(b"www-authenticate", b"Bearer"), _NO_STORE])
    is_open = wants_open_metrics((request.header(b"accept") or b"").decode("latin-1"))
    body = text(health.collect(), is_open=is_open)
    kind = OPEN_METRICS if is_open else PLAIN
    return Response(200, body.encode(), [(b"content-type", kind.encode()), (b"vary", b"accept"), _NO_STORE])


class Endpoint:
    """The ops listener's handler."""

    def __init__(self, health: Health, base_path: str) -> None:
        self._health = health
        self._prefix = base_path.rstrip("/") + "/health."
        self._tasks: set[asyncio.Task[None]] = set()

    def handle(self, request: Request, respond: Respond) -> Running | None:
        """Answer one request; `respond` is called exactly once."""
        if request.method == "HEAD":
            respond(Response(204, b"", []))
        elif request.method != "GET":
            respond(Response(405, b"", [(b"allow", b"GET")]))
        elif request.path == METRICS_PATH:
            respond(scrape(self._health, request))
        elif request.path.startswith(self._prefix):
            # A task of its own: nothing here is hot, and a check takes its time.
            task = asyncio.get_running_loop().create_task(self._call(request, respond))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            respond(
                _refusal(NotFound(f"Here are {self._prefix}check, liveness, readiness and metrics, and {METRICS_PATH}"))
            )
        return None

    async def _call(self, request: Request, respond: Respond) -> None:
        names = request.path.removeprefix(self._prefix[: -len("health.")]).replace("%2C", ",").split(",")
        is_batch = b"batch=1" in request.query.split(b"&")
        answers = [await self._answer(name, request) for name in (names if is_batch else names[:1])[:MOST_CALLS]]
        if is_batch:
            body = combine([_on_wire(answer, is_batch=True) for answer in answers])
            respond(Response(http_status([_status(answer) for answer in answers]), body, _HEADERS))
        else:
            respond(Response(_status(answers[0]), _on_wire(answers[0], is_batch=False), _HEADERS))

    async def _answer(self, name: str, request: Request) -> Answer | RpcError:
        health = self._health
        access = health.access
        calls: dict[str, Callable[[], Awaitable[tuple[bytes, int]]]] = {
            "health.check": lambda: health.check(may_see_details=access.may_see_details(request.headers, request.peer)),
            "health.liveness": lambda: _now(health.liveness),
            "health.readiness": health.readiness,
            "health.metrics": lambda: _now(health.metrics),
        }
        call = calls.get(name)
        if call is None:
            return NotFound(f"No procedure at path {name!r}")
        if name == "health.metrics" and not access.may_see_metrics(request.headers):
            return Unauthorized(NEEDS_TOKEN)
        return Answer(*await call())


async def _now(make: Callable[[], tuple[bytes, int]]) -> tuple[bytes, int]:
    return make()


def _status(answer: Answer | RpcError) -> int:
    return answer.status if isinstance(answer, Answer) else CODES[answer.trpc].http


def _on_wire(answer: Answer | RpcError, *, is_batch: bool) -> bytes:
    if isinstance(answer, Answer):
        return answer.on_wire(is_batch=is_batch)
    return failure(shape(answer, None, request_id="", is_development=False))


def _refusal(error: RpcError) -> Response:
    return Response(CODES[error.trpc].http, _on_wire(error, is_batch=False), _HEADERS)

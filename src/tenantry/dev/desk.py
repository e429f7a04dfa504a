"""`/_dev` at work: which page a path is, and what it needs. Stands before the dispatcher, in development only."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tenantry.dev.calling import Caller, sent_form
from tenantry.dev.error_page import error_list, error_page, kinds
from tenantry.dev.explain import plan_of
from tenantry.dev.forms import NotJson, fields_of, input_of
from tenantry.dev.frame import ROOT, View, nothing
from tenantry.dev.guard import HEADERS, refusal
from tenantry.dev.home import HOME, goes_home
from tenantry.dev.people import NOBODY, people, rotated
from tenantry.dev.procedure_page import WHO, Answer, home, procedure_page
from tenantry.dev.record import Fault, Recorder, excerpt
from tenantry.dev.request_page import request_list, request_page
from tenantry.dev.stale import Stale
from tenantry.dev.static import fetched
from tenantry.errors import RpcError, TenantryError
from tenantry.http import TOO_LARGE, Response
from tenantry.rpc.typescript import texts_of

if TYPE_CHECKING:
    from tenantry.db import Pool
    from tenantry.dev.record import Recorded
    from tenantry.dispatch import Road
    from tenantry.http import Handler, Request, Respond, Running
    from tenantry.rpc import Procedure
    from tenantry.settings import Settings

AS = "tenantry_dev_as"
log = logging.getLogger("tenantry.request")


class Desk:
    """The pages, over an application that is open."""

    def __init__(self, settings: Settings, recorder: Recorder, pool: Pool, version: str) -> None:
        """`recorder` has heard of this pool's statements from the beginning."""
        assert settings.env == "development"  # app looks first; nothing of this is for production
        self.settings = settings
        self.recorder = recorder
        self.pool = pool
        self.version = version
        self.caller: Caller | None = None
        self.procedures: dict[str, Procedure[..., Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stale = Stale(settings.home)

    # ------------------------------------------------------------------ what the road asks (`dispatch.road.Developer`)

    def failed(self, error: BaseException, path: str | None, request_id: str) -> None:
        """A call fails with this."""
        self.recorder.failed(error, path, request_id)

    def stale(self) -> str:
        """Why the code that is on disk does not serve; empty where it does."""
        return self._stale()

    # ------------------------------------------------------------------ requests

    def before(self, inner: Handler, road: Road) -> Handler:
        """A handler with these pages before it."""
        self.caller = Caller(road, max_body_bytes=self.settings.max_body_bytes)
        self.procedures = dict(road.procedures)

        def handle(request: Request, respond: Respond) -> Running | None:
            path = request.path
            if path == ROOT or path.startswith(f"{ROOT}/"):
                return self.handle(request, respond)
            if goes_home(request):
                respond(HOME)
                return None
            return inner(request, respond)

        return handle

    def close(self) -> None:
        """Answer no more."""
        self.recorder.close()
        if self.caller is not None:
            self.caller.close()

    def handle(self, request: Request, respond: Respond) -> Running | None:
        """Answer one request for a page."""
        refused = refusal(request.method, request.peer, request.headers)
        if refused is not None:
            respond(_plain(refused.status, refused.why))
            return None
        if request.body is None:
            respond(TOO_LARGE)
            return None
        if request.method == "HEAD":
            respond(Response(200, b"", [(b"content-type", b"text/html; charset=utf-8"), *HEADERS]))
            return None
        rest = request.path[len(ROOT) :].strip("/")
        file = fetched(rest, self.stale())
        if file is not None:
            respond(file)
            return None
        task = asyncio.get_running_loop().create_task(self._answer(request, rest, respond))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task  # pyright: ignore[reportReturnType] - it can be cancelled, and that is all

    async def _answer(self, request: Request, rest: str, respond: Respond) -> None:
        try:
            respond(await self._page(request, rest))
        except RpcError as error:
            respond(_plain(400, error.message))
        except Exception as error:
            log.exception("/_dev failed")
            respond(_plain(500, f"This page failed: {type(error).__name__}. Its trace is in the terminal."))

    async def _page(self, request: Request, rest: str) -> Response:
        room, _, name = rest.partition("/")
        if room == "p" and name in self.procedures:
            return await self._procedure(request, self.procedures[name])
        if room == "requests" and name:
            call = self.recorder.find(int(name)) if name.isascii() and name.isdigit() and len(name) < 16 else None
            gone = "This request is not kept (any more) by this worker: the last ones are at /_dev/requests."
            return self._nothing(gone) if call is None else await self._call(request, call)
        if request.method == "POST":
            return _plain(405, "This method is not supported here")
        return await self._list(room, name)

    async def _list(self, room: str, name: str) -> Response:
        match room, name:
            case "", "":
                return _html(home(self._view(), await people(self.pool, self.settings.home)))
            case "requests", "":
                calls = list(self.recorder.requests)
                noted = {one.number: self.recorder.notices_of(one) for one in calls}
                return _html(request_list(self._view(), calls, await self._names(), noted))
            case "errors", "":
                return _html(error_list(self._view()))
            case "errors", code if code in kinds():
                return _html(error_page(self._view(), code, kinds()[code]))
            case _:
                return self._nothing("There is no such page below /_dev.")

    def _nothing(self, why: str) -> Response:
        return _html(nothing(self._view(), why), status=404)

    # ------------------------------------------------------------------ a procedure

    async def _procedure(self, request: Request, one: Procedure[..., Any]) -> Response:
        everyone = await people(self.pool, self.settings.home)
        fields = fields_of(one)
        chosen = _cookie(request) or (everyone[0].key if everyone and one.scope != "public" else NOBODY)
        sent: dict[str, str] = {}
        answer, wrong = None, ""
        headers: list[tuple[bytes, bytes]] = []
        if request.method == "POST":
            sent, uploads = await sent_form(request)
            person = next((p for p in everyone if p.key == sent.get(WHO)), None)
            chosen = NOBODY if person is None else person.key
            headers = [(b"set-cookie", f"{AS}={chosen}; Path={ROOT}; HttpOnly; SameSite=Strict".encode())]
            try:
                given = input_of(fields, sent)
            except NotJson as error:
                wrong = f"{error.field} is not valid JSON: {error.why}"
            else:
                answer = await self._send(one, None if person is None else person.token, given, uploads)
        shown = procedure_page(self._view(), one, texts_of(one), fields, everyone, chosen, sent, answer, wrong)
        return _html(shown, headers)

    async def _send(
        self, one: Procedure[..., Any], token: str | None, given: bytes | None, uploads: dict[str, bytes]
    ) -> Answer:
        assert self.caller is not None  # made in `before`
        came = await self.caller.call(one, token, given, uploads)
        if came.token and token is not None:
            rotated(self.settings.home, token, came.token)
        call = next((c for c in self.recorder.requests if came.request_id and c.request_id == came.request_id), None)
        return Answer(
            came.status,
            came.ms,
            came.body,
            None if call is None else self._placed(call),
            0 if call is None else call.number,
        )

    # ------------------------------------------------------------------ a request that was

    async def _call(self, request: Request, call: Recorded) -> Response:
        plans: dict[int, str] = {}
        if request.method == "POST":
            sent, _ = await sent_form(request)
            asked = sent.get("plan", "")
            number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 6 else -1
            if call.entry is None or not 0 <= number < len(call.statements):
                return _plain(404, "There is no such statement")
            try:
                plans[number] = await plan_of(self.pool, call.entry, call.statements[number])
            except TenantryError as error:
                plans[number] = f"No plan: {error}"
        shown = msgspec.structs.replace(call, fault=self._placed(call))
        return _html(request_page(self._view(), shown, await self._names(), self.recorder.notices_of(call), plans))

    def _placed(self, call: Recorded) -> Fault | None:
        """The fault with the source around it: what PostgreSQL refused has no line of the application in its trace."""
        fault, procedure = call.fault, self.procedures.get(call.path)
        if fault is None or fault.excerpt or procedure is None or not fault.where:
            return fault
        file, _, line = fault.where.rpartition(":")
        path = Path(procedure.handler.__code__.co_filename)
        if not line.isdigit() or not path.as_posix().endswith(file):
            return fault
        return msgspec.structs.replace(fault, excerpt=excerpt(str(path), int(line)))

    async def _names(self) -> dict[bytes, str]:
        return {p.token.encode(): f"{p.email} in {p.tenant}" for p in await people(self.pool, self.settings.home)}

    def _view(self) -> View:
        groups: dict[str, list[Procedure[..., Any]]] = {}
        own = [one for one in self.procedures.values() if not one.handler.__module__.startswith("tenantry.")]
        others = [one for one in self.procedures.values() if one.handler.__module__.startswith("tenantry.")]
        for one in [*sorted(own, key=_path), *sorted(others, key=_path)]:
            groups.setdefault(one.path.rpartition(".")[0], []).append(one)
        return View(self.settings.app or "Tenantry", self.version, os.getpid(), self.stale(), list(groups.items()))


_path: Callable[[Procedure[..., Any]], str] = lambda one: one.path  # noqa: E731 - a key, twice


def _cookie(request: Request) -> str:
    for name, value in request.headers:
        if name == b"cookie":
            for part in value.decode("latin-1").split(";"):
                key, _, chosen = part.strip().partition("=")
                if key == AS:
                    return chosen
    return ""


def _html(text: str, headers: list[tuple[bytes, bytes]] | None = None, *, status: int = 200) -> Response:
    return Response(status, text.encode(), [(b"content-type", b"text/html; charset=utf-8"), *HEADERS, *(headers or [])])


def _plain(status: int, text: str) -> Response:
    return Response(status, text.encode() + b"\n", [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS])

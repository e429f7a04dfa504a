"""The beginning of the way: which mount, which kind of answer. `handle`, `intake` and `upgrade` are what `http` calls."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Sequence

from tenantry.dispatch.events import EventStream
from tenantry.dispatch.exchange import Exchange
from tenantry.dispatch.lines import LineStream
from tenantry.dispatch.road import Place, Road
from tenantry.dispatch.sockets import Refused, accept
from tenantry.dispatch.visit import known_headers
from tenantry.errors import NotFound, RpcError, Unauthorized
from tenantry.http import TOO_LARGE, Accept, Intake, Request, Respond, Response, Running, allowed, preflight
from tenantry.rpc import Parsed, RpcRequest, parse
from tenantry.rpc.call import wants_lines

Headers = list[tuple[bytes, bytes]]


class Dispatcher:
    """Answers requests: an `http.Application`."""

    def __init__(self, road: Road, places: Sequence[Place]) -> None:
        self.road = road
        self.first = places[0]
        # The longest prefix first, so that a mount below another one is found.
        self.places = sorted(places, key=lambda place: -len(place.prefix))
        # One draw a process, then a counter: unique over workers and machines without a system call for each request.
        self.request_ids = map(f"{secrets.token_hex(6)}-{{:x}}".format, itertools.count(1))

    def __call__(self, request: Request, respond: Respond) -> Running | None:
        return self.handle(request, respond)

    def handle(self, request: Request, respond: Respond) -> Running | None:
        """Answer one HTTP request; `respond` is called exactly once, at once or later. The result can be cancelled."""
        road = self.road
        path = request.path
        place = self.place_of(path)
        if place is None and path.startswith("/api/auth") and path[9:10] in ("", "/"):
            self.sign_in(request, respond)
            return None
        known = known_headers(request.headers)
        cors: Headers = []
        if road.origins and b"origin" in known:
            cors = allowed(known[b"origin"], road.origins)
        method = request.method
        if method == "OPTIONS" and b"access-control-request-method" in known:
            respond(preflight(cors, has_origins=bool(road.origins)))
            return None
        if place is None:
            exchange = Exchange(road, self.first, request, respond, next(self.request_ids), cors)
            exchange.refuse(NotFound(f"Nothing is served at this path; procedures are under {self.first.prefix}"))
            return None
        if b"tnt_live_" in request.query:
            exchange = Exchange(road, place, request, respond, next(self.request_ids), cors)
            road.auth.note_key_in_url(request, exchange.request_id)
            exchange.refuse(Unauthorized("An API key never goes into the URL; send it as Authorization: Bearer"))
            return None
        if method == "HEAD":
            respond(Response(204, b"", cors))
            return None
        return self.call(place, request, respond, known, cors)

    def sign_in(self, request: Request, respond: Respond) -> None:
        """Auth.js's own paths, for its front ends."""
        if request.body is None:
            respond(TOO_LARGE)
            return
        self.road.auth.handle(
            request,  # pyright: ignore[reportArgumentType] - its body is whole, as was looked at above
            lambda status, body, headers: respond(Response(status, body, headers)),
            next(self.request_ids),
        )

    def call(
        self, place: Place, request: Request, respond: Respond, known: dict[bytes, bytes], cors: Headers
    ) -> Running | None:  # fmt: skip
        """Parse the calls, and answer them in one piece, line by line, or as events."""
        road = self.road
        accepts = known.get(b"accept")
        is_lines = b"trpc-accept" in known or (accepts is not None and b"jsonl" in accepts)
        if is_lines:
            is_lines = wants_lines(known.get(b"trpc-accept"), accepts)
        kind = Exchange
        parsed: Parsed | None = None
        wrong: RpcError | None = None
        try:
            parsed = parse(
                road.procedures,
                RpcRequest(
                    request.method, request.path[len(place.prefix) :], request.query, known.get(b"content-type"), request.body,
                    is_lines,
                ),
                place.limits,
            )  # fmt: skip
            if parsed.is_lines:
                kind = LineStream
            elif not parsed.is_batch and parsed.media == "json":
                procedure = parsed.calls[0].procedure
                if procedure is not None and procedure.type == "subscription":
                    kind = EventStream
        except RpcError as error:
            wrong = error
        exchange = kind(road, place, request, respond, next(self.request_ids), cors)
        try:
            if parsed is not None:
                exchange.begin(parsed, known)
                return exchange
        except RpcError as error:
            wrong = error
        assert wrong is not None  # one or the other
        exchange.refuse(wrong)
        return None

    def place_of(self, path: str) -> Place | None:
        """The mount of a request's path."""
        for place in self.places:
            if path.startswith(place.prefix) or path == place.path:
                return place
        return None

    def intake(self, path: str, headers: Headers) -> Intake:
        """How the body of a request is taken, of which only the head is here."""
        place = self.place_of(path)
        if place is None:
            return Intake(self.places[0].max_body_bytes)
        return place.intake(path, headers, self.road.procedures)

    def upgrade(self, request: Request) -> Response | Accept:
        """A request for a WebSocket, at the path of a mount."""
        place = next((p for p in self.places if request.path.rstrip("/") == p.path), None)
        if place is None:
            return Response(404, b"", [])
        try:
            return accept(self.road, place, request, next(self.request_ids))
        except Refused as refused:
            return refused.answer

    def drain(self) -> None:
        """The server is about to stop: clients of streams and WebSockets are sent elsewhere."""
        for place in self.places:
            place.drain()

    def close(self) -> None:
        """Nothing is answered any more."""
        for place in self.places:
            place.close()

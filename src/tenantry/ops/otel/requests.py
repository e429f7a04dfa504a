"""Whole HTTP requests, by OpenTelemetry's names: method, route, status. A batch is one. Bounded; one event loop writes it."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Container

from tenantry.http import Request, Response, Running
from tenantry.signals import REQUEST_SECONDS

MOST_SERIES = 1000
METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})
Key = tuple[str, str, int]
"""Method, route, status."""


class Requests:
    """Stands around a handler; `histograms` are counts by bucket and the sum of seconds, `active` those under way."""

    def __init__(
        self, inner: Callable[..., Running | None], prefixes: tuple[str, ...], procedures: Container[str]
    ) -> None:
        self.inner = inner
        self.prefixes = prefixes
        self.procedures = procedures
        self.histograms: dict[Key, tuple[list[int], list[float]]] = {}
        self.active = 0

    def handle(self, request: Request, respond: Callable[[Response], None]) -> Running | None:
        """Answer, and measure from whole to answered (of a stream: to its head)."""
        began = time.perf_counter()
        self.active += 1

        def measured(response: Response) -> None:
            self.active -= 1
            self.add(request, response.status, time.perf_counter() - began)
            respond(response)

        return self.inner(request, measured)

    def add(self, request: Request, status: int, seconds: float) -> None:
        """One more."""
        method = request.method if request.method in METHODS else "_OTHER"
        key = (method, self.route(request.path), status)
        found = self.histograms.get(key)
        if found is None:
            if len(self.histograms) >= MOST_SERIES:
                key = ("_OTHER", "_other", status)
            found = self.histograms.setdefault(key, ([0] * (len(REQUEST_SECONDS) + 1), [0.0]))
        found[0][bisect_left(REQUEST_SECONDS, seconds)] += 1
        found[1][0] += seconds

    def route(self, path: str) -> str:
        """`/trpc/notes.recent`, `/trpc/{batch}`, `/api/auth`: never what a caller made up."""
        for prefix in self.prefixes:
            if path.startswith(prefix):
                rest = path[len(prefix) :]
                return prefix + (rest if rest in self.procedures else "{batch}" if "," in rest else "{unknown}")
        return "/api/auth" if path.startswith("/api/auth") else "_other"

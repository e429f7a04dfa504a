"""A span a call, told of after the call is over: the way of a request pays for one method call and no context.

The parent is the caller's (`traceparent`); whether a call without one is told of, and what share, is the SDK's sampler's to say
(`OTEL_TRACES_SAMPLER`). No input, tenant, person or SQL stands in a span.
"""

from __future__ import annotations

import time
from typing import Any

from opentelemetry.propagate import extract
from opentelemetry.trace import SpanKind, Status, StatusCode


class Spans:
    """Makes spans of calls that are over."""

    def __init__(self, tracer: Any) -> None:
        self.tracer = tracer
        self.offset = time.time_ns() - int(time.perf_counter() * 1e9)

    def add(
        self,
        procedure: str,
        status: int,
        code: str | None,
        began: float,
        ended: float,
        request_id: str,
        headers: list[tuple[bytes, bytes]],
    ) -> None:
        """One call; times are `time.perf_counter`'s. Health checks are none."""
        if procedure.startswith("health."):
            return
        carrier = {
            name.decode("ascii", "replace"): value.decode("latin-1")
            for name, value in headers
            if name in (b"traceparent", b"tracestate")
        }
        span = self.tracer.start_span(
            procedure, context=extract(carrier) if carrier else None, kind=SpanKind.SERVER, start_time=self.offset + int(began * 1e9),
            attributes={
                "rpc.system.name": "trpc", "rpc.method": procedure, "http.response.status_code": status, "tenantry.request_id": request_id,
            },
        )  # fmt: skip
        if code is not None:
            span.set_attribute("error.type", code)
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end_time=self.offset + int(ended * 1e9))

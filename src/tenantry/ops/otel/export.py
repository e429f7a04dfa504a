"""Sending: metrics from a thread each `OTEL_METRIC_EXPORT_INTERVAL`, spans in the SDK's batches. Fails soft."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Container
from typing import Any

from tenantry.errors import StartError
from tenantry.http import Running
from tenantry.ops.otel.requests import Requests
from tenantry.signals import Store

log = logging.getLogger("tenantry.otel")
INTERVAL_MS = 60_000


class OtelMissing(StartError):
    """The extra is not installed."""

    code = "OTEL_MISSING"
    says = "TENANTRY_OTLP_ENDPOINT is set, and OpenTelemetry is not installed."
    remedy = "pip install 'tenantry[otel]', or unset it."


class Telemetry:
    """One worker's telemetry. `start` loads the libraries; `wrap` measures requests; `close` sends what is left."""

    def __init__(self, endpoint: str, service: str, version: str, store: Store) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError:
            raise OtelMissing from None
        from tenantry.ops.otel.spans import Spans

        base = endpoint.rstrip("/")
        for name in ("opentelemetry.exporter", "opentelemetry.sdk"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # told once here, not each time there
        self.store = store
        self.resource = Resource.create(
            {"service.name": service, "service.version": version, "service.instance.id": str(os.getpid())}
        )
        self.began_ns = time.time_ns()
        self.metrics: Any = OTLPMetricExporter(endpoint=f"{base}/v1/metrics", timeout=5)
        self.provider = TracerProvider(resource=self.resource, shutdown_on_exit=False)
        self.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{base}/v1/traces", timeout=5)))
        self.spans = Spans(self.provider.get_tracer("tenantry", version))
        self.requests: Requests | None = None
        self.is_well = True
        self._ended = threading.Event()
        self._interval = int(os.environ.get("OTEL_METRIC_EXPORT_INTERVAL") or INTERVAL_MS) / 1000
        self._thread = threading.Thread(target=self._run, name="otel", daemon=True)

    def wrap(
        self, handle: Callable[..., Running | None], prefixes: tuple[str, ...], procedures: Container[str]
    ) -> Callable[..., Running | None]:
        """The handler, measured; the sending begins."""
        self.requests = Requests(handle, prefixes, procedures)
        self._thread.start()
        return self.requests.handle

    def _run(self) -> None:
        while not self._ended.wait(self._interval):
            self.send()

    def send(self) -> None:
        """Send the metrics of now."""
        from tenantry.ops.otel.metrics import data

        if self.requests is None:
            return
        try:
            result = self.metrics.export(
                data(self.resource, self.store, self.requests, self.began_ns, time.time_ns()), timeout_millis=5000
            )
            is_well = result.name == "SUCCESS"
        except Exception:  # a receiver that is away must not end the thread
            is_well = False
        if is_well != self.is_well:
            log.warning(
                "OTLP receiver %s", "takes metrics again" if is_well else "does not take metrics; tried again each time"
            )
        self.is_well = is_well

    def close(self) -> None:
        """Send what is left, within a few seconds."""
        self._ended.set()
        if self.requests is not None:
            self._thread.join(6)
            self.send()
        self.provider.force_flush(5000)
        self.provider.shutdown()
        self.metrics.shutdown(timeout_millis=2000)

"""OpenTelemetry against a real receiver of OTLP over HTTP on this machine: names, numbers, parents; and a receiver that is away."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tenantry import Tenantry
from tests.conftest import Database, People
from tests.harness import Client, opened

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}


class Receiver:
    """Takes OTLP over HTTP, and decodes it by the protocol's own messages."""

    def __init__(self) -> None:
        self.metrics: dict[str, Any] = {}
        self.spans: list[Any] = []
        self.resource: dict[str, str] = {}
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                import gzip

                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                receiver.take(self.path, body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def take(self, path: str, body: bytes) -> None:
        if path == "/v1/metrics":
            sent: Any = ExportMetricsServiceRequest.FromString(body)
            for resource in sent.resource_metrics:
                self.resource = {a.key: a.value.string_value for a in resource.resource.attributes}
                for scope in resource.scope_metrics:
                    self.metrics.update({metric.name: metric for metric in scope.metrics})
        else:
            traces: Any = ExportTraceServiceRequest.FromString(body)
            self.spans += [span for r in traces.resource_spans for scope in r.scope_spans for span in scope.spans]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def attributes(point: Any) -> dict[str, Any]:
    return {a.key: a.value.string_value or a.value.int_value for a in point.attributes}


async def test_metrics_and_spans_reach_a_receiver(database: Database, people: People, receiver: Receiver):
    async with opened(Tenantry(), database, otlp_endpoint=receiver.url) as app:
        client = Client(app, people.acme.owner.token, PARENT)
        for _ in range(3):
            assert (await client.query("users.list")).status == 200
        assert (await client.query("users.get", {"id": "x"})).status == 400
        await client.query("invented.by.a.caller")
    durations = receiver.metrics["http.server.request.duration"].histogram.data_points
    found = {
        (a["http.route"], a["http.response.status_code"]): point.count
        for point in durations
        for a in [attributes(point)]
    }
    assert found == {("/trpc/users.list", 200): 3, ("/trpc/users.get", 400): 1, ("/trpc/{unknown}", 404): 1}
    assert receiver.metrics["http.server.active_requests"].sum.data_points[0].as_int == 0
    operations = receiver.metrics["db.client.operation.duration"].histogram.data_points
    assert {attributes(point)["db.system.name"] for point in operations} == {"postgresql"}
    assert {"db.client.connection.timeouts"} <= set(receiver.metrics)
    assert receiver.resource["service.name"] == "platform-api"
    lists = [span for span in receiver.spans if span.name == "users.list"]
    assert {span.trace_id.hex() for span in lists} == {TRACE}
    assert {span.parent_span_id.hex() for span in lists} == {"00f067aa0ba902b7"}
    assert all(span.end_time_unix_nano > span.start_time_unix_nano for span in receiver.spans)
    assert people.acme.owner.token not in str(receiver.spans) + str(receiver.metrics)


async def test_a_receiver_that_is_away_costs_no_request(database: Database, people: People):
    async with opened(Tenantry(), database, otlp_endpoint="http://127.0.0.1:9") as app:
        assert (await Client(app, people.acme.owner.token).query("users.list")).status == 200


async def test_without_it_nothing_is_loaded_and_nobody_is_told(database: Database, people: People):
    async with opened(Tenantry(), database) as app:
        assert (await Client(app, people.acme.owner.token).query("users.list")).status == 200
        assert app._state.dispatcher.road.spans is None  # type: ignore[union-attr]

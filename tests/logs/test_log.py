"""The log's parts: what a line says, what a trace may say, and that nobody waits for who reads."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tenantry.errors import SqlRefused
from tenantry.logs import Log, RequestLines, Writer, fingerprint
from tenantry.logs.records import RecordHandler

TENANT = bytes.fromhex("00112233445566778899aabbccddeeff")
TRACE = (b"traceparent", b"00-" + b"4bf92f3577b34da6a3ce929d0e0e4736" + b"-" + b"00f067aa0ba902b7" + b"-01")


class Kept:
    """Lines, and a maker of them."""

    def __init__(self, **options: Any) -> None:
        self.lines: list[str] = []
        self.requests = RequestLines(self.lines.append, {"notes.recent": "query", "notes.add": "mutation"}, **options)

    def add(
        self, procedure: str = "notes.recent", status: int = 200, code: str | None = None, *, seconds: float = 0.0012,
        tenant: bytes | None = TENANT, headers: list[tuple[bytes, bytes]] | None = None, ended: float = 50.0,
    ) -> None:  # fmt: skip
        inside = SimpleNamespace(tenant_bytes=tenant)
        self.requests.add(procedure, status, code, ended - seconds, ended, inside, "r-1", headers or [])


def test_a_call_is_one_json_line_with_everything_that_is_known_of_it() -> None:
    kept = Kept()
    kept.add(headers=[(b"host", b"x"), TRACE])
    (line,) = kept.lines
    assert line.endswith("}\n")
    found = json.loads(line)
    assert time.strptime(found.pop("time"), "%Y-%m-%dT%H:%M:%S.%fZ")
    assert found == {
        "level": "info", "procedure": "notes.recent", "type": "query", "status": 200, "ms": 1.2,
        "tenant": "00112233-4455-6677-8899-aabbccddeeff", "request_id": "r-1", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    }  # fmt: skip


def test_a_failed_call_has_its_code_and_a_servers_fault_is_an_error() -> None:
    kept = Kept()
    kept.add(status=404, code="NOT_FOUND", tenant=None)
    kept.add(status=503, code="SERVICE_UNAVAILABLE")
    first, second = map(json.loads, kept.lines)
    assert (first["level"], first["code"], "tenant" in first) == ("info", "NOT_FOUND", False)
    assert (second["level"], second["status"]) == ("error", 503)


@pytest.mark.parametrize("hostile", ['a"b', "x\ny", "../../etc", "secret-token", "é" * 300])
def test_a_name_that_nobody_registered_is_not_written(hostile: str) -> None:
    kept = Kept()
    kept.add(hostile, 404, "NOT_FOUND")
    assert json.loads(kept.lines[0])["procedure"] == "_other"
    assert kept.lines[0].count("\n") == 1


@pytest.mark.parametrize("value", [b"", b"garbage", b'00-","x":"1-01', TRACE[1] + b"x", TRACE[1].upper()])
def test_a_traceparent_that_is_none_is_left_out(value: bytes) -> None:
    kept = Kept()
    kept.add(headers=[(b"traceparent", value)])
    assert "trace_id" not in json.loads(kept.lines[0])


def test_above_the_rate_good_and_quick_calls_have_no_line_and_are_counted() -> None:
    kept = Kept(rate=10, slow_ms=100)
    for number in range(100):
        kept.add(ended=50.0 + number / 1000)
    assert len(kept.lines) == 10
    kept.add(status=404, code="NOT_FOUND", ended=50.5)
    kept.add(seconds=0.2, ended=50.6)
    assert len(kept.lines) == 12, "failed and slow ones always have one"
    kept.add(ended=51.1)
    assert json.loads(kept.lines[12])["count"] == 90
    assert len(kept.lines) == 14
    none = Kept(rate=0)
    none.add()
    assert none.lines == []


def test_health_has_no_lines() -> None:
    lines: list[str] = []
    RequestLines(lines.append, {"health.check": "query"}).add("health.check", 503, None, 0.0, 0.1, None, "r-1", [])
    assert lines == []


def test_above_info_only_the_servers_faults_have_lines() -> None:
    kept = Kept(has_good=False)
    for status, code in ((200, None), (404, "NOT_FOUND"), (500, "INTERNAL_SERVER_ERROR")):
        kept.add(status=status, code=code)
    assert [json.loads(line)["status"] for line in kept.lines] == [500]


def test_text_for_a_terminal_is_one_line_too() -> None:
    kept = Kept(is_text=True, has_colour=True)
    kept.add()
    assert kept.lines[0].count("\n") == 1
    assert "notes.recent" in kept.lines[0]
    assert "\x1b[32m200" in kept.lines[0]


# ---------------------------------------------------------------- the writer


def pipe() -> tuple[int, int]:
    reading, writing = os.pipe()
    return reading, writing


def test_lines_arrive_whole_and_in_order() -> None:
    reading, writing = pipe()
    writer = Writer(writing)
    for number in range(1000):
        writer.put(f"{number}\n")
    writer.flush(5)
    assert os.read(reading, 1 << 16).decode().split() == [str(n) for n in range(1000)]
    os.close(writing)
    os.close(reading)


def test_a_reader_that_has_stopped_costs_lines_and_nobodys_time() -> None:
    reading, writing = pipe()
    writer = Writer(writing, most_lines=500)
    told: list[int] = []
    writer.dropped = told.append
    began = time.monotonic()
    for _ in range(5000):
        writer.put("x" * 1000 + "\n")
    assert time.monotonic() - began < 5, "a pipe holds 64 KB: whoever waited for it would wait for ever"
    threading.Thread(target=lambda: drain(reading), daemon=True).start()
    until = time.monotonic() + 10
    while not told and time.monotonic() < until:
        time.sleep(0.05)
    assert 3500 < sum(told) <= 4500
    os.close(writing)


def drain(fd: int) -> None:
    while os.read(fd, 1 << 16):
        pass
    os.close(fd)


def test_a_reader_that_has_gone_breaks_nothing() -> None:
    reading, writing = pipe()
    os.close(reading)
    writer = Writer(writing)
    writer.put("x\n")
    writer.flush(5)
    os.close(writing)


# ---------------------------------------------------------------- records and traces


def raised(make: Any) -> BaseException:
    try:
        make()
    except Exception as error:
        return error
    raise AssertionError


def a_bug(value: str) -> None:
    raise ValueError(f"no such thing: {value}")


def wrapped(value: str) -> None:
    try:
        a_bug(value)
    except ValueError as error:
        raise RuntimeError(f"again {value}") from error


def test_one_bug_has_one_fingerprint_whatever_the_values() -> None:
    first, second = raised(lambda: a_bug("one")), raised(lambda: a_bug("two"))
    other = raised(lambda: wrapped("one"))
    assert fingerprint(first) == fingerprint(second)
    assert len(fingerprint(first)) == 12
    assert fingerprint(other) != fingerprint(first)
    refusals = [SqlRefused(procedure=name, where="a.py:1", why="x", cure="y") for name in ("a.one", "a.two")]
    assert fingerprint(refusals[0]) != fingerprint(refusals[1])


@pytest.fixture
def journal() -> Iterator[tuple[logging.Logger, RecordHandler, list[str]]]:
    lines: list[str] = []
    handler = RecordHandler(lines.append, is_text=False, secrets=["hunter2-hunter2"])
    logger = logging.getLogger("tenantry.request.test")
    logger.addHandler(handler)
    yield logger, handler, lines
    logger.removeHandler(handler)


def test_a_foreign_exceptions_words_are_not_written_and_its_way_is(journal: Any) -> None:
    logger, _, lines = journal
    logger.error("x failed", exc_info=raised(lambda: wrapped("SECRET")))
    found = json.loads(lines[0])
    assert "SECRET" not in lines[0]
    assert "ValueError" in found["trace"]
    assert "RuntimeError" in found["trace"]
    assert "in a_bug" in found["trace"]
    assert len(found["fingerprint"]) == 12


def test_a_handler_that_comes_after_gets_the_safe_trace_too(journal: Any) -> None:
    logger, _, _ = journal
    seen: list[str] = []

    class After(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(self.format(record))

    after = After()
    logger.addHandler(after)
    logger.error("x failed", exc_info=raised(lambda: a_bug("SECRET")))
    logger.removeHandler(after)
    assert "a_bug" in seen[0]
    assert "SECRET" not in seen[0]


def test_the_same_trace_is_whole_once_in_a_while(journal: Any) -> None:
    logger, _, lines = journal
    for _ in range(3):
        logger.error("x failed", exc_info=raised(lambda: a_bug("v")))
    traces = [json.loads(line)["trace"] for line in lines]
    assert [trace == "(trace as before)" for trace in traces] == [False, True, True]
    assert len({json.loads(line)["fingerprint"] for line in lines}) == 1


def test_what_the_settings_hold_is_blotted_out(journal: Any) -> None:
    logger, _, lines = journal
    logger.warning("cannot reach postgresql://platform:hunter2-hunter2@db/x")
    assert "hunter2" not in lines[0]


def test_every_error_is_counted_by_room_and_code(journal: Any) -> None:
    logger, handler, _ = journal
    counted: list[tuple[str, str]] = []
    handler.count = lambda module, code: counted.append((module, code))
    logger.error("a", exc_info=raised(lambda: a_bug("v")))
    logger.error("b", extra={"error": SqlRefused(procedure="p", where="w", why="x", cure="y")})
    logger.error("c", extra={"code": "WORKER_DIED"})
    logger.warning("not counted")
    assert counted == [("request", "INTERNAL"), ("request", "SQL_REFUSED"), ("request", "WORKER_DIED")]


def test_a_guest_leaves_writing_to_the_applications_own_handlers() -> None:
    root, lines = logging.getLogger(), list[str]()
    assert root.handlers, "pytest's own"
    log = Log.begin(owns_process=False, form="json")
    try:
        assert Log.current() is log
        assert log.handler.writes is False
        assert Log.begin(owns_process=False) is log
    finally:
        log.end()
    assert Log.current() is None
    assert lines == []

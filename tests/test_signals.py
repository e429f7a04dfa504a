from __future__ import annotations

import json
import math
import timeit

from tenantry.ops.metrics import gather
from tenantry.ops.metrics.slots import Counts, add_counts
from tenantry.signals import BY_NAME, FAMILIES, MOST_SERIES, OTHER, REQUEST_SECONDS, STORE_BYTES, Signals


def counts(signals: Signals) -> Counts:
    found: Counts = {}
    add_counts(found, signals.store)
    return found


def value(signals: Signals, metric: str, *labels: str) -> float | None:
    found = counts(signals).get((metric, *labels))
    return None if found is None else found[0]


def test_a_call_counts_in_its_procedure_and_its_bucket():
    signals = Signals({"users.get": "query"})
    signals.request("users.get", 0.2, None)
    signals.request("users.get", 0.21, "NOT_FOUND")
    cells = counts(signals)["api_request_duration_seconds", "users.get"]
    assert cells[REQUEST_SECONDS.index(0.2)] == 1, "an upper bound belongs to its bucket"
    assert cells[REQUEST_SECONDS.index(0.25)] == 1
    assert (round(cells[-2], 6), cells[-1]) == (0.41, 0.21)
    assert value(signals, "api_requests_total", "users.get", "query") == 2
    assert value(signals, "api_request_errors_total", "users.get", "NOT_FOUND", "client") == 1


def test_what_is_foreseen_exists_at_zero():
    signals = Signals({"users.get": "query"})
    assert value(signals, "api_requests_total", "users.get", "query") == 0
    assert value(signals, "api_request_errors_total", "users.get", "TIMEOUT", "server") == 0
    assert value(signals, "db_query_duration_ms", "select", "ok") == 0
    for family in FAMILIES:
        if family.kind == "counter" and not family.labels:
            assert value(signals, family.name) == 0


def test_a_timeout_is_the_servers_fault_and_a_refusal_the_clients():
    signals = Signals({"users.get": "query"})
    for code in ("TIMEOUT", "BAD_GATEWAY", "UNAUTHORIZED", "TOO_MANY_REQUESTS"):
        signals.request("users.get", 0.1, code)
    kinds = {labels[1]: labels[2] for metric, *labels in counts(signals) if metric == "api_request_errors_total"}
    assert (kinds["TIMEOUT"], kinds["BAD_GATEWAY"]) == ("server", "server")
    assert (kinds["UNAUTHORIZED"], kinds["TOO_MANY_REQUESTS"]) == ("client", "client")


def test_health_is_never_counted():
    signals = Signals({"health.check": "query"})
    signals.request("health.check", 0.1, None)
    signals.request("health.invented", 0.1, "NOT_FOUND")
    found = counts(signals)
    assert sum(cells[0] for key, cells in found.items() if key[0] == "api_requests_total") == 0
    assert not any("health.check" in key for key in found)


def test_a_subscription_is_counted_and_not_timed():
    signals = Signals({"feed.watch": "subscription"})
    signals.request("feed.watch", 3600.0, None)
    found = counts(signals)
    assert found["api_requests_total", "feed.watch", "subscription"] == [1]
    assert ("api_request_duration_seconds", "feed.watch") not in found


def test_a_million_invented_procedures_and_codes_add_one_series():
    signals = Signals({"users.get": "query"})
    before = len(signals.store.places())
    for i in range(1_000_000):
        signals.request(f"invented.{i}", 60.0, "NOT_FOUND")
    assert len(signals.store.places()) == before + 1
    assert value(signals, "api_requests_total", OTHER, OTHER) == 1_000_000
    assert value(signals, "api_request_errors_total", OTHER, "NOT_FOUND", "client") == 1_000_000
    assert STORE_BYTES < 1 << 20


def test_there_are_never_more_series_than_there_is_room_for_and_what_is_too_much_is_counted():
    signals = Signals({f"p.p{i}": "query" for i in range(500)})
    for i in range(MOST_SERIES):
        signals.error(f"module{i}", "CODE")
    assert len(signals.store.places()) == MOST_SERIES
    found = counts(signals)
    errors = [cells[0] for key, cells in found.items() if key[0] == "error_total"]
    assert sum(errors) == MOST_SERIES
    dropped = value(signals, "metrics_series_dropped_total")
    assert dropped == value(signals, "error_total", OTHER, OTHER)
    assert dropped
    assert dropped > 0


def test_more_procedures_than_there_is_room_for_share_one_series():
    signals = Signals({f"p.p{i}": "query" for i in range(1500)})
    signals.request("p.p0", 0.1, None)
    signals.request("p.p1499", 0.1, "NOT_FOUND")
    assert value(signals, "api_requests_total", "p.p0", "query") == 1
    assert value(signals, "api_requests_total", OTHER, OTHER) == 1


def test_any_label_value_is_read_back_as_it_was():
    signals = Signals()
    hostile = 'a"b\\c\nd%s{}"é'
    signals.know_tables([hostile])
    signals.rls_violation(hostile, "insert")
    assert value(signals, "rls_violations_total", hostile, "insert") == 1


def test_a_table_that_the_catalogue_does_not_have_is_other():
    signals = Signals()
    signals.know_tables(["users"])
    signals.rls_violation("invented", "insert")
    signals.rls_violation("users", "insert")
    assert value(signals, "rls_violations_total", "users", "insert") == 1
    assert value(signals, "rls_violations_total", "users", "update") == 0
    assert value(signals, "rls_violations_total", OTHER, "insert") == 1


def test_a_gauge_is_unknown_until_it_is_set():
    signals = Signals()
    assert math.isnan(signals.store.gauge("db_up"))
    assert "db_up" not in {family.name for family, _ in gather({}, [signals.store], 0.0).families}
    signals.set("db_up", 0)
    assert signals.store.gauge("db_up") == 0


def test_every_family_has_words_and_no_label_that_could_be_a_tenant():
    for family in FAMILIES:
        assert family.says.endswith(".") or family.is_own, family.name
        assert not set(family.labels) & {"tenant", "user", "path", "address", "sql"}
        assert BY_NAME[family.name] is family
    json.dumps([family.name for family in FAMILIES])


def test_a_request_costs_less_than_ten_microseconds():
    signals = Signals({"users.get": "query"})
    best = min(timeit.repeat(lambda: signals.request("users.get", 0.003, None), number=1000, repeat=5)) / 1000
    assert best < 10e-6, "measured: about 0.4 us; the margin is for a busy machine"

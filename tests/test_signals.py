from __future__ import annotations

import sys
import timeit

from tenantry.signals import MOST_PAIRS, OTHER, REQUEST_SECONDS, Signals


def test_a_call_counts_in_its_procedure_and_its_bucket():
    signals = Signals(["users.get"])
    signals.request("users.get", 0.2, None)
    signals.request("users.get", 0.21, "NOT_FOUND")
    seen = signals.snapshot().procedures["users.get"]
    assert (seen.count, round(seen.seconds, 6), seen.longest_seconds) == (2, 0.41, 0.21)
    assert seen.buckets[REQUEST_SECONDS.index(0.2)] == 1, "an upper bound belongs to its bucket"
    assert seen.buckets[REQUEST_SECONDS.index(0.25)] == 1
    assert seen.errors == {"NOT_FOUND": 1}


def test_a_registered_procedure_exists_at_zero():
    assert Signals(["users.get"]).snapshot().procedures["users.get"].count == 0


def test_invented_procedures_and_codes_share_one_series():
    signals = Signals(["users.get"])
    before = sys.getsizeof(signals.snapshot().procedures)
    for i in range(10_000):
        signals.request(f"invented.{i}", 60.0, f"MADE_UP_{i}")
    seen = signals.snapshot().procedures
    assert set(seen) == {"users.get", OTHER}
    assert seen[OTHER].errors == {OTHER: 10_000}
    assert seen[OTHER].buckets[-1] == 10_000
    assert sys.getsizeof(seen) == before


def test_pairs_are_bounded():
    signals = Signals()
    for i in range(MOST_PAIRS * 3):
        signals.error("db", str(i))
        signals.rls_violation(f"table_{i}", "insert")
    seen = signals.snapshot()
    assert len(seen.errors) == len(seen.rls_violations) == MOST_PAIRS + 1
    assert seen.errors[OTHER, OTHER] == MOST_PAIRS * 2


def test_a_snapshot_does_not_move():
    signals = Signals(["users.get"])
    before = signals.snapshot()
    signals.request("users.get", 0.001, "TIMEOUT")
    signals.pool_timeout()
    assert before.procedures["users.get"].count == before.pool_timeouts == 0
    assert before.procedures["users.get"].errors == {}


def test_a_request_costs_less_than_ten_microseconds():
    signals = Signals(["users.get"])
    best = min(timeit.repeat(lambda: signals.request("users.get", 0.003, None), number=1000, repeat=5)) / 1000
    assert best < 10e-6, "measured: about 0.3 us; the margin is for a busy machine"

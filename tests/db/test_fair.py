"""The fair queue and the shares, as pure values: nobody starves, no bound is broken, nothing that could be used lies idle."""

from __future__ import annotations

import random
from collections import Counter, deque

from hypothesis import given
from hypothesis import strategies as st

from tenantry.db.fair import FairQueue, Turns
from tenantry.db.shares import CONTENDED_SECONDS, GENERATION_SECONDS, MOST_KNOWN, Limits, Share, Shares
from tenantry.db.trip import Entry

Item = tuple[int, int]


def queue_of(items: list[Item]) -> FairQueue[int, Item]:
    queue: FairQueue[int, Item] = FairQueue(lambda _: deque())
    for item in items:
        queue.push(item[0], item)
    return queue


def entry(credential: str) -> Entry:
    return Entry(credential.encode(), True, None, None, "a.b", 1000)


def anyone(_: int) -> bool:
    return True


owners = st.lists(st.integers(0, 5), max_size=60)


@given(owners)
def test_between_two_turns_of_a_tenant_every_other_that_waits_has_one(owners: list[int]) -> None:
    queue = queue_of(list(zip(owners, range(len(owners)), strict=True)))
    waiting = Counter(owners)
    since: dict[int, set[int]] = {}
    while (item := queue.pop(anyone)) is not None:
        key = item[0]
        missing = {other for other in waiting if waiting[other] and other != key} - since.get(key, set(waiting))
        assert not missing
        waiting[key] -= 1
        since[key] = set()
        for seen in since.values():
            seen.add(key)
    assert not +waiting
    assert len(queue) == 0


@given(owners)
def test_of_one_tenant_the_order_stays(owners: list[int]) -> None:
    queue = queue_of(list(zip(owners, range(len(owners)), strict=True)))
    last: dict[int, int] = {}
    while (item := queue.pop(anyone)) is not None:
        assert last.get(item[0], -1) < item[1]
        last[item[0]] = item[1]


@given(owners, st.integers(0, 5))
def test_who_may_not_is_passed_over_and_holds_up_nobody(owners: list[int], barred: int) -> None:
    queue = queue_of(list(zip(owners, range(len(owners)), strict=True)))
    taken = 0
    while (item := queue.pop(lambda key: key != barred)) is not None:
        assert item[0] != barred
        taken += 1
    assert taken == sum(1 for owner in owners if owner != barred)
    assert len(queue) == owners.count(barred)


@given(owners, st.randoms(use_true_random=False))
def test_leaving_the_queue_keeps_the_counts_right(owners: list[int], dice: random.Random) -> None:
    items = list(zip(owners, range(len(owners)), strict=True))
    queue = queue_of(items)
    gone = {item for item in items if dice.random() < 0.4}
    for item in gone:
        assert queue.remove(item[0], item)
        assert not queue.remove(item[0], item)
    assert sorted(queue) == sorted(set(items) - gone)
    assert len(queue) == len(items) - len(gone)


@given(owners)
def test_where_there_is_no_room_the_longest_line_loses_its_newest(owners: list[int]) -> None:
    queue = queue_of(list(zip(owners, range(len(owners)), strict=True)))
    waiting = Counter(owners)
    evicted = queue.evict()
    if not owners:
        assert evicted is None
        return
    assert evicted is not None
    key, item = evicted
    assert waiting[key] == max(waiting.values())
    assert item == max(one for one in zip(owners, range(len(owners)), strict=True) if one[0] == key)
    assert len(queue) == len(owners) - 1


def test_who_runs_again_goes_first_and_can_still_leave() -> None:
    queue = queue_of([(1, 1), (2, 2)])
    queue.push_first((1, 0))
    queue.push_first((3, 3))
    assert queue.remove(3, (3, 3))
    assert queue.pop(lambda _: False) == (1, 0)
    assert queue.pop(anyone) == (1, 1)


@given(st.lists(st.integers(0, 4), max_size=40))
def test_strangers_take_turns_among_themselves_too(owners: list[int]) -> None:
    turns: Turns[Item] = Turns(lambda item: item[0])
    for number, owner in enumerate(owners):
        turns.append((owner, number))
    first = [turns.popleft()[0] for _ in range(min(len(set(owners)), len(turns)))]
    assert sorted(first) == sorted(set(owners))
    while len(turns):
        turns.pop()


# ------------------------------------------------------------------ a pool that is played through


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), min_size=1, max_size=80), st.integers(1, 20), st.sampled_from([0.2, 0.5, 1.0]))  # fmt: skip
def test_bounds_hold_and_no_connection_idles_for_nothing(work: list[tuple[int, int]], size: int, part: float) -> None:
    """Tenants 0 to 3 ask at once for some ticks of work each; every rule is looked at in each tick."""
    shares = Shares(size, 0, Limits(part))
    tenants = [Share(bytes([n] * 16)) for n in range(4)]
    queue: FairQueue[Share, tuple[Share, int]] = FairQueue(lambda _: deque())
    for owner, ticks in work:
        queue.push(tenants[owner], (tenants[owner], ticks))
    running: list[list[object]] = []
    now, done = 100.0, 0
    for _ in range(2000):
        now += 0.05
        while len(running) < size:
            idle = size - len(running)
            item = queue.pop(lambda share: shares.may_hold(share, idle, now))  # noqa: B023 - called at once
            if item is None:
                break
            item[0].busy += 1
            running.append([item[0], item[1]])
        idle = size - len(running)
        for share in {share for share, _ in queue}:
            others = len(running) - share.busy
            shares.waits(share, others, now)
            if idle and now >= shares.contended_until:
                assert share.busy
                assert idle <= shares.reserve
            if idle:
                assert share.busy >= min(shares.cap, 1)
        for one in list(running):
            share, left = one
            one[1] = left - 1  # type: ignore[operator] - a count
            if one[1] == 0:
                running.remove(one)
                share.busy -= 1  # type: ignore[attr-defined] - a Share
                done += 1
        if done == len(work):
            break
    assert done == len(work)
    assert not any(share.busy for share in tenants)


def test_alone_a_tenant_has_all_but_the_reserve_and_beside_others_its_share() -> None:
    shares, noisy, other = Shares(16, 0, Limits(0.5)), Share(b"n" * 16), Share(b"o" * 16)
    free, now = 16, 10.0
    while shares.may_hold(noisy, free, now):
        noisy.busy, free = noisy.busy + 1, free - 1
    assert (noisy.busy, free) == (14, 2)
    assert shares.may_hold(other, free, now)
    noisy.busy, other.busy = 15, 1
    shares.waits(other, 15, now)
    noisy.busy = 8
    assert not shares.may_hold(noisy, 7, now)
    assert shares.may_hold(other, 7, now)
    noisy.busy = 7
    assert shares.may_hold(noisy, 8, now)
    noisy.busy = 8
    assert shares.may_hold(noisy, 7, now + CONTENDED_SECONDS)


def test_many_sessions_of_a_tenant_are_one_and_strangers_are_their_own() -> None:
    shares = Shares(10, 0, Limits())
    assert shares.of(entry("a")) is shares.strangers
    shares.learn(b"a", b"t" * 16)
    shares.learn(b"b", b"t" * 16)
    assert shares.of(entry("a")) is shares.of(entry("b"))
    assert shares.of(entry("a")) is not shares.strangers
    assert shares.of(entry("c")) is shares.strangers


def test_what_is_known_is_bounded_and_ages() -> None:
    shares = Shares(10, 0, Limits())
    for number in range(3 * MOST_KNOWN):
        shares.learn(b"%d" % number, b"%16d" % (number % 100))
    assert len(shares._known) + len(shares._known_before) <= 2 * MOST_KNOWN  # pyright: ignore[reportPrivateUsage]
    shares.learn(b"last", b"t" * 16)
    held = shares.of(entry("last"))
    held.busy = 1
    shares.age(1e6)
    assert shares.of(entry("last")) is held
    shares.age(1e6 + GENERATION_SECONDS)
    assert shares.of(entry("last")) is shares.strangers
    shares.learn(b"last", b"t" * 16)
    assert shares.of(entry("last")) is held  # it still holds a connection


def test_a_rate_and_a_budget_are_kept_and_refilled() -> None:
    shares, tenant = Shares(10, 0, Limits(rate=5)), Share(b"t" * 16)
    assert [shares.excess(tenant, 50.0) for _ in range(5)] == [None] * 5
    over = shares.excess(tenant, 50.0)
    assert over is not None
    assert over[0] == "tenant_rate"
    assert 0 < over[1] <= 0.2
    assert shares.excess(tenant, 50.5) is None
    assert shares.excess(shares.strangers, 50.0) is None
    shares, tenant = Shares(10, 0, Limits(budget=0.5)), Share(b"t" * 16)
    assert shares.excess(tenant, 50.0) is None
    tenant.budget -= 7.0
    assert shares.excess(tenant, 50.0) == ("tenant_budget", 4.0)
    assert shares.excess(tenant, 54.1) is None


def test_the_noisiest_are_those_that_took_most_since_the_last_look() -> None:
    shares = Shares(10, 0, Limits())
    for number in range(20):
        shares.learn(b"%d" % number, b"%16d" % number)
        shares.of(entry(str(number))).seconds = float(number)
    assert [one.seconds for one in shares.noisiest(3)] == [19.0, 18.0, 17.0]
    assert shares.noisiest(3) == []

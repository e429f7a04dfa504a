"""One drill, from a calm installation to a calm installation: fault, health, alert, page, doctor, repair, healthy.

Events must happen, in an order of magnitude of their time (`SLACK`): a slow machine is no failure, a thing that never comes is. The
repair is the doctor's own where a machine can do it: `--fix`, or `--approve` for what needs a person; else the fault is taken away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from importlib import import_module
from importlib.resources import files
from typing import Any

from tenantry.drills.load import Tally, under_load
from tenantry.drills.model import Drill, NoSuchDrill, Outcome, StageFailed, Variant
from tenantry.drills.stage import Stage
from tenantry.runbook.place import psycopg_error

SLACK = 6.0
"""Times in which something must have happened are multiplied by this, and get ten seconds more: machines may be busy."""
SEE_SECONDS = 1.0
HEAL_SECONDS = 60.0
WARM_SECONDS = 1.0
ORDER: tuple[Variant, ...] = ("own", "proxied", "small")
Say = Callable[[str], None]


def drills() -> list[Drill]:
    """All of them, by number."""
    found: list[Drill] = []
    for entry in files("tenantry.drills.faults").iterdir():
        if entry.name.endswith(".py") and entry.name not in ("__init__.py", "signs.py"):
            found += import_module(f"tenantry.drills.faults.{entry.name.removesuffix('.py')}").DRILLS
    return sorted(found, key=lambda one: one.number)


def chosen(names: Sequence[str]) -> list[Drill]:
    """Those of these names or numbers; all without any. Raises NoSuchDrill."""
    known = drills()
    for name in names:
        if not any(name in (one.name, str(one.number)) for one in known):
            raise NoSuchDrill(name=repr(name))
    return [one for one in known if not names or one.name in names or str(one.number) in names]


async def perform_all(
    wanted: Sequence[Drill], say: Say, *, tick: int = 1, is_keeping: bool = False
) -> AsyncGenerator[Outcome]:
    """Run them one after the other, those of one variant together; a broken installation is replaced."""
    stage: Stage | None = None
    try:
        for drill in sorted(wanted, key=lambda one: (ORDER.index(one.variant), one.number)):
            why = drill.needs()
            if why is not None:
                say(f"{drill.number} {drill.name}: not here: {why}")
                yield Outcome(drill.number, drill.name, drill.says, skipped=why)
                continue
            if stage is not None and stage.is_small != (drill.variant == "small"):
                await stage.close(is_keeping=is_keeping)
                stage = None
            try:
                stage = stage or Stage(tick=tick, is_small=drill.variant == "small")
                if stage.variant != drill.variant:
                    say(f"an installation of its own in {stage.folder} ({drill.variant})")
                await stage.open(drill.variant)
                say(f"{drill.number} {drill.name}: {drill.says}")
                began = time.monotonic()
                outcome = await perform(stage, drill, say)
                say(f"   {time.monotonic() - began:.0f} s for all of it")
            except StageFailed as error:
                outcome = Outcome(drill.number, drill.name, drill.says, faults=[str(error.message)])
            except (
                OSError,
                RuntimeError,
                psycopg_error(),
            ) as error:  # one that breaks is a result, and the next one is run
                outcome = Outcome(
                    drill.number, drill.name, drill.says, faults=[f"{type(error).__name__}: {error}"[:300]]
                )
            yield outcome
            if outcome.faults and stage is not None and not await _is_usable(stage):
                say("the installation is not healthy any more: it is replaced")
                await stage.close(is_keeping=is_keeping)
                stage = None
    finally:
        if stage is not None:
            await stage.close(is_keeping=is_keeping)


async def _is_usable(stage: Stage) -> bool:
    try:
        await stage.calm()
    except (StageFailed, OSError):
        return False
    return True


async def perform(stage: Stage, drill: Drill, say: Say) -> Outcome:
    """Run one. Raises StageFailed if the installation was not calm to begin with, NotOurs if it is another's."""
    await stage.calm()
    await stage.assert_own()
    outcome = Outcome(drill.number, drill.name, drill.says)
    async with under_load(stage.port, stage.tokens) as tallies:
        await asyncio.sleep(WARM_SECONDS)
        at_first = {name: (tally.requests, tally.lost) for name, tally in tallies.items()}
        stage.injected_at = started = time.monotonic()
        try:
            await drill.inject(stage)
            await _observe(stage, drill, outcome, started)
            _told(outcome, say)
            if drill.causes:
                await _diagnose(stage, drill, outcome, started)
                say(f"   doctor: {outcome.cause} (place {outcome.rank}) in {outcome.doctor_seconds} s")
        finally:
            healed = await _repair(stage, drill, outcome)
        if healed is not None:
            outcome.healed_seconds = round(healed, 1)
            say(f"   healthy again in {healed:.1f} s, by {outcome.repaired_by}")
        _count(outcome, tallies, at_first)
    judge(drill, outcome)
    for fault in outcome.faults:
        say(f"   NOT WELL: {fault}")
    return outcome


def _told(outcome: Outcome, say: Say) -> None:
    alerts = ", ".join(f"{name} {seconds} s" for name, seconds in outcome.alert_seconds.items())
    say(f"   health {_s(outcome.seen_seconds)}, alerts {alerts or '-'}, page {_s(outcome.page_seconds)}")


def _s(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds} s"


async def _observe(stage: Stage, drill: Drill, outcome: Outcome, started: float) -> None:
    """Until everything that must be seen was seen, or its time is over."""
    shrink = stage.tick / 15.0
    longest = max([SEE_SECONDS, *(seconds * shrink for seconds in drill.alerts.values()), drill.wait_seconds])
    until = started + longest * SLACK + 10.0
    seen = asyncio.create_task(_see(stage, drill, outcome, started, until))
    sign = drill.symptom is None
    while time.monotonic() < until:
        now = time.monotonic()
        for alert in stage.watched().get("firing", []):
            outcome.alert_seconds.setdefault(alert, round(now - started, 1))
        page = stage.sink.first("page", started) or stage.sink.first("second", started)
        if page is not None and outcome.page_seconds is None:
            outcome.page_seconds = round(page - started, 1)
        sign = sign or drill.symptom is None or drill.symptom(stage)
        is_whole = outcome.alert_seconds.keys() >= drill.alerts.keys() and (
            outcome.page_seconds is not None or not drill.pages
        )
        if is_whole and sign and seen.done() and now - started >= drill.wait_seconds:
            break
        await asyncio.sleep(0.1)
    if not sign:
        outcome.faults.append("its sign did not come")
    seen.cancel()
    await asyncio.gather(seen, return_exceptions=True)


async def _see(stage: Stage, drill: Drill, outcome: Outcome, started: float, until: float) -> None:
    while drill.seen is not None and time.monotonic() < until:
        status, health = await stage.ask("health.check")
        # No answer of the API: the port for operations has one while it lives.
        if not status:
            status, health = await stage.ask("health.check", is_ops=True)
        if drill.seen(health):
            outcome.seen_seconds = round(time.monotonic() - started, 1)
            return
        await asyncio.sleep(0.1)


async def _diagnose(stage: Stage, drill: Drill, outcome: Outcome, started: float) -> None:
    found = await stage.doctor()
    fresh = [one for one in found["findings"] if one["cause"] not in stage.usual]
    outcome.doctor_seconds = found["seconds"]
    outcome.diagnosed_seconds = round(time.monotonic() - started, 1)
    names = [one["cause"] for one in fresh]
    hit = next((name for name in names if name in drill.causes), None)
    outcome.cause, outcome.rank = (hit, names.index(hit) + 1) if hit else (names[0] if names else None, None)
    if hit is not None:
        stage.named = next(one for one in fresh if one["cause"] == hit)


async def _repair(stage: Stage, drill: Drill, outcome: Outcome) -> float | None:
    """Seconds from the end of the repair to `healthy`; None if that did not come."""
    finding, stage.named = stage.named, None
    remedy: dict[str, Any] | None = None if finding is None else finding.get("remedy")
    is_repaired = False
    if remedy is not None and remedy["class"] != "M" and not drill.heals_alone:
        arguments = ("--fix",) if remedy["class"] == "S" else ("--approve", remedy["id"], "--by", "drill")
        why = "it found no need"
        try:
            done = await stage.doctor(*arguments)
            mine = [one for one in done["done"] if one["remedy"] == remedy["id"]]
            is_repaired = any(one["outcome"] == "done" for one in mine)
            why = next((f"{one['outcome']}: {one['text']}"[:160] for one in mine), why)
        except TimeoutError:
            why = "no answer"
        words = " ".join(arguments[:2])
        outcome.repaired_by = words if is_repaired else f"{words} failed ({' '.join(why.split())}); fault removed"
    ended = time.monotonic()
    if is_repaired and not await _is_healthy(stage, ended + HEAL_SECONDS / 4):
        outcome.repaired_by += ", not healthy; fault removed"
        is_repaired = False
    healed = time.monotonic() - ended
    await stage.release()
    stage.is_mended = is_repaired
    await drill.undo(stage)
    if not is_repaired:
        ended = time.monotonic()
        if drill.heals_alone:
            outcome.repaired_by = "itself"
        outcome.repaired_by = outcome.repaired_by or "fault removed"
        healed = time.monotonic() - ended
    if not await _is_healthy(stage, time.monotonic() + HEAL_SECONDS):
        return None
    return healed if is_repaired else time.monotonic() - ended


async def _is_healthy(stage: Stage, until: float) -> bool:
    while time.monotonic() < until:
        status, health = await stage.ask("health.check")
        if status == 200 and health.get("status") == "healthy":
            return True
        await asyncio.sleep(0.1)
    return False


def _count(outcome: Outcome, tallies: dict[str, Tally], at_first: dict[str, tuple[int, int]]) -> None:
    counts = {
        name: (tally.requests - at_first[name][0], tally.lost - at_first[name][1]) for name, tally in tallies.items()
    }
    outcome.requests, outcome.lost = counts["acme"]
    outcome.others_requests, outcome.others_lost = counts["globex"]


def judge(drill: Drill, outcome: Outcome) -> None:
    """What was not as it must be. Pure."""
    faults = outcome.faults
    if drill.seen is not None and outcome.seen_seconds is None:
        faults.append("health did not show it")
    faults += [f"{alert} did not fire" for alert in drill.alerts if alert not in outcome.alert_seconds]
    faults += [f"{alert} fired" for alert in drill.quiet if alert in outcome.alert_seconds]
    if drill.pages and outcome.page_seconds is None:
        faults.append("nobody was paged")
    if drill.causes and outcome.rank is None:
        faults.append(f"the doctor did not name {' or '.join(drill.causes)}, but {outcome.cause or 'nothing'}")
    if drill.causes and (outcome.rank or 0) > 1:
        faults.append(f"the doctor named {outcome.cause} in place {outcome.rank} only")
    if outcome.healed_seconds is None:
        faults.append("it did not become healthy again")
    if drill.spares_others and outcome.others_lost:
        faults.append(f"{outcome.others_lost} requests of a tenant that it does not meet were lost")

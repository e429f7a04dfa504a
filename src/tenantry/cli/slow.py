"""`tenantry slow`: what the database's time goes to, by statement and procedure; the plan of one, and the index that it wants."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import msgspec

from tenantry.cli.place import ready, say, show, tell
from tenantry.settings import Settings

if TYPE_CHECKING:
    from tenantry.ops.statements import Advice, Belongings, Counts, Known, Plan


def run(arguments: argparse.Namespace) -> int:
    """The table, a plan, or a reset."""
    from tenantry.ops.statements import Belongings, read, reset
    from tenantry.ops.statements.read import ordered

    settings, admin = ready(Settings.load())
    if arguments.reset:
        reset(admin)
        show({"reset": True}) if arguments.json else say("Statements of this database are counted anew from now on.")
        return 0
    known = _known(settings)
    belongings = Belongings(known)
    counts = read(settings.urls().ops, all_roles=arguments.all)
    chosen = ordered(counts, arguments.by, arguments.min_calls)
    if arguments.procedure:
        chosen = [one for one in chosen if arguments.procedure in {k.procedure for k in belongings.of(one.text)}]
    if arguments.plan is not None:
        return _plan(settings, admin, arguments, chosen, belongings)
    shown = chosen[: arguments.top]
    if arguments.json:
        show([_row(number, one, belongings) for number, one in enumerate(shown, 1)])
        return 0
    _table(shown, belongings)
    if not known:
        tell(
            "No worker has told its statements yet, so that no procedure is named: is it served from this TENANTRY_HOME?"
        )
    return 0


def _known(settings: Settings) -> list[Known]:
    """What the workers say now, and what they said earlier; softly."""
    from tenantry.ops.inspect import InspectFailed, ask, workers
    from tenantry.ops.statements import keep_known, read_known

    fresh: list[dict[str, str]] = []
    try:
        for worker in workers(settings.home):
            fresh += ask(worker, "statements", patience=5.0)["statements"]
    except InspectFailed as error:
        tell(f"{error.message} Procedures are named as far as they are known.")
    if not fresh:
        return read_known(settings.home)
    try:
        return keep_known(settings.home, fresh)
    except OSError:
        return read_known(settings.home)


def _row(number: int, one: Counts, belongings: Belongings) -> dict[str, Any]:
    found = belongings.of(one.text)
    return {
        "number": number, "procedure": belongings.name(one.text), "procedures": sorted({k.procedure for k in found}),
        "where": sorted({k.where for k in found}), **msgspec.to_builtins(one),
    }  # fmt: skip


def _table(shown: list[Counts], belongings: Belongings) -> None:
    if not shown:
        say("No statement is counted yet.")
        return
    say(
        f"{'':>3} {'time':>6} {'total':>9} {'calls':>9} {'mean':>9} {'max':>9} {'rows':>7} {'hit':>7} {'read':>7}  procedure, statement"
    )
    for number, one in enumerate(shown, 1):
        calls = max(one.calls, 1)
        say(
            f"{number:>3} {one.share:>6.1%} {_time(one.total_ms):>9} {one.calls:>9} {_time(one.mean_ms):>9} {_time(one.max_ms):>9}"
            f" {one.rows / calls:>7.1f} {one.hit / calls:>7.1f} {one.read / calls:>7.1f}  {belongings.name(one.text) or '(unknown)'}"
        )
        say(f"{'':>3} {one.id:>22}  {' '.join(one.text.split())[:110]}")
    say("Rows, and blocks of 8 kB hit and read, a call. A plan and advice: tenantry slow --plan NUMBER --tenant SLUG")


def _plan(
    settings: Settings, admin: Any, arguments: argparse.Namespace, chosen: list[Counts], belongings: Belongings
) -> int:
    from tenantry.ops.statements import PlanFailed, plan_as
    from tenantry.tenancy.visiting import visiting

    if not arguments.tenant:
        raise PlanFailed(why="a plan is made as one tenant", cure="Name it, by slug or id: --tenant acme")
    one = _meant(arguments.plan, chosen)
    found = belongings.of(one.text)
    text = found[0].text if found else one.text
    urls = settings.urls()
    with visiting(admin, urls.auth, arguments.tenant, "operator_plan", statement=one.id) as visit:
        plan = plan_as(urls, visit, text)
    advice = _advice(settings, plan, one)
    if arguments.json:
        show({
            **_row(arguments.plan, one, belongings), "tenant": visit.slug, "sql": text, "plan": plan.text, "plan_json": plan.root,
            "advice": msgspec.to_builtins(advice),
        })  # fmt: skip
        return 0
    say(
        f"{belongings.name(one.text) or '(unknown)'}{''.join(f'  {place}' for place in sorted({k.where for k in found}))}"
    )
    say(
        f"{one.calls} calls, mean {_time(one.mean_ms)}, {one.share:.1%} of the time, {_blocks(one):.0f} blocks a call.\n"
    )
    say(text.strip())
    say(f"\nThe generic plan as a member of {visit.slug} (not run):")
    say(plan.text)
    _print(advice, one)
    return 0


def _meant(wanted: str, chosen: list[Counts]) -> Counts:
    from tenantry.ops.statements import PlanFailed

    one = next((it for it in chosen if it.id == wanted), None)
    if one is None and wanted.isdigit() and 1 <= int(wanted) <= len(chosen):
        one = chosen[int(wanted) - 1]
    if one is None:
        raise PlanFailed(why=f"there is no statement {wanted[:30]!r}", cure="Give a number or an id of: tenantry slow")
    return one


def _advice(settings: Settings, plan: Plan, one: Counts) -> Advice:
    import psycopg

    from tenantry.ops.statements import advise
    from tenantry.ops.statements.catalogue import Catalogue

    with psycopg.connect(
        settings.urls().ops.reveal(), autocommit=True, cursor_factory=psycopg.RawCursor, prepare_threshold=None
    ) as connection:
        return advise(plan.root, Catalogue(connection), blocks_a_call=_blocks(one))


def _blocks(one: Counts) -> float:
    return (one.hit + one.read) / max(one.calls, 1)


def _print(advice: Advice, one: Counts) -> None:
    say()
    for sql, why in zip(advice.sql, advice.why, strict=True):
        say(f"Advice: {sql}")
        say(f"  {why}")
    if not advice.sql:
        say(f"No index is advised: a call reads {_blocks(one):.0f} blocks, and the plan uses what there is.")
    for kept in advice.kept:
        say(
            f"Not for an index: {kept.condition} on {kept.table}: {kept.why}, so row security keeps it from every index."
        )
        say(f"  Instead: {kept.instead}.")


def _time(ms: float) -> str:
    if ms >= 1000:
        return f"{ms / 1000:.1f} s"
    return f"{ms:.1f} ms" if ms >= 1 else f"{ms * 1000:.0f} µs"

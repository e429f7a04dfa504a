"""`tenantry drill list | run | report`: faults, injected into an installation that is thrown away."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tenantry.cli.place import say, show, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenantry.drills import Drill


def list_(arguments: argparse.Namespace) -> int:
    """What there is."""
    from tenantry.drills import drills
    from tenantry.drills.report import NOT_DRILLED

    if arguments.json:
        show([
            {"number": d.number, "name": d.name, "says": d.says, "alerts": dict(d.alerts), "causes": d.causes, "variant": d.variant}
            for d in drills()
        ])  # fmt: skip
        return 0
    for drill in drills():
        say(f"{drill.number:>3}  {drill.name:<20} {drill.says}")
    for number, why in sorted(NOT_DRILLED.items()):
        say(f"{number:>3}  (none)               {why}")
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Run them; 0 all went well, 1 something did not happen that must."""
    from tenantry.drills import Outcome, chosen, perform_all, write
    from tenantry.drills.report import fresh

    wanted = chosen(arguments.name)
    report = fresh(arguments.tick)
    path: Path = arguments.to

    async def work(these: Sequence[Drill]) -> None:
        number = 0
        async for outcome in perform_all(these, tell, tick=arguments.tick, is_keeping=arguments.keep):
            number += 1
            report.outcomes[:] = {**{one.name: one for one in report.outcomes}, outcome.name: outcome}.values()
            write(path, report)
            how = "not here" if outcome.skipped else "well" if outcome.is_well else "NOT WELL"
            tell(f"[{number}/{len(these)}] {outcome.name}: {how}")

    asyncio.run(work(wanted))
    for _ in range(arguments.retries):
        again = [one.name for one in report.outcomes if not one.is_well]
        if not again:
            break
        tell(f"Once more: {', '.join(again)}")
        asyncio.run(work(chosen(again)))
    failed: list[Outcome] = [one for one in report.outcomes if not one.is_well]
    if arguments.json:
        show(msgspec.to_builtins(report))
    else:
        for one in failed:
            say(f"{one.number} {one.name}: {'; '.join(one.faults)}")
        skipped = sum(bool(one.skipped) for one in report.outcomes)
        more = f"; {skipped} cannot be run here" if skipped else ""
        well = len(report.outcomes) - len(failed) - skipped
        say(f"{well} of {len(report.outcomes)} drills went well{more}. The table: tenantry drill report")
    return 1 if failed else 0


def report(arguments: argparse.Namespace) -> int:
    """The table of the last runs, as Markdown."""
    from tenantry.drills import drills, page, read

    found = read(arguments.to)
    if arguments.json:
        show(msgspec.to_builtins(found))
    else:
        say(page(found, drills()).rstrip("\n"))
    return 0

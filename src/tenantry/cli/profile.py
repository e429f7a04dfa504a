"""`tenantry profile`: where the time of a running worker goes, by procedure and function, and as a flame graph."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from tenantry.cli.inspecting import folder, meant, stamp
from tenantry.cli.place import say, show, tell
from tenantry.files import write_whole
from tenantry.settings import Settings

if TYPE_CHECKING:
    from tenantry.ops.inspect import Worker
    from tenantry.ops.inspect.flame import Stacks


def run(arguments: argparse.Namespace) -> int:
    """Sample, write the files, show the tree."""
    from tenantry.ops.inspect import flame

    settings = Settings.load()
    chosen = meant(settings, arguments)
    if not arguments.json:
        tell(f"Sampling {', '.join(str(one.pid) for one in chosen)} for {arguments.seconds:g} s …")
    with ThreadPoolExecutor(len(chosen)) as pool:
        found = list(pool.map(partial(_ask, arguments), chosen))
    stacks: Stacks = {}
    for one in found:
        for stack, count in one["stacks"]:
            stacks[tuple(stack)] = stacks.get(tuple(stack), 0) + count
    figures = _figures(found, stacks)
    place = folder(settings, "profiles", arguments.to)
    name = f"profile-{stamp()}"
    title = f"{settings.service}: {figures['seconds']:g} s at {figures['rate']:g} Hz"
    paths = {kind: place / f"{name}.{kind}" for kind in ("html", "collapsed", "speedscope.json")}
    write_whole(paths["html"], flame.page(stacks, title, _words(figures)).encode())
    write_whole(paths["collapsed"], flame.collapsed(stacks).encode())
    write_whole(paths["speedscope.json"], flame.speedscope(stacks, title, figures["rate"]).encode())
    if arguments.json:
        show({**figures, "files": {kind: str(path) for kind, path in paths.items()}})
        return 0
    _print(stacks, figures)
    for path in paths.values():
        say(str(path))
    return 0


def _ask(arguments: argparse.Namespace, worker: Worker) -> dict[str, Any]:
    from tenantry.ops.inspect import ask

    return ask(
        worker, "profile", patience=arguments.seconds + 30.0, seconds=arguments.seconds, rate=arguments.rate,
        threads=arguments.threads,
    )  # fmt: skip


def _figures(found: list[dict[str, Any]], stacks: Stacks) -> dict[str, Any]:
    from tenantry.ops.inspect import flame

    total = sum(stacks.values()) or 1
    procedures: dict[str, int] = {}
    for stack, count in stacks.items():
        procedures[stack[0]] = procedures.get(stack[0], 0) + count
    return {
        "workers": [one["pid"] for one in found], "seconds": max(one["seconds"] for one in found), "rate": found[0]["rate"],
        "samples": sum(one["samples"] for one in found), "missed": sum(one["missed"] for one in found),
        "cpu_seconds": round(sum(one["cpu_seconds"] for one in found), 3),
        "sampler_seconds": round(sum(one["sampler_seconds"] for one in found), 3),
        "procedures": {name: round(count / total, 4) for name, count in sorted(procedures.items(), key=lambda item: -item[1])},
        "hottest": [[name, round(count / total, 4)] for name, count in flame.hottest(stacks)],
    }  # fmt: skip


def _words(figures: dict[str, Any]) -> str:
    idle = figures["procedures"].get("(idle)", 0.0)
    return (
        f"Workers {', '.join(map(str, figures['workers']))}: {figures['samples']} samples, idle {idle:.0%} of the time "
        f"(left out of the picture); {figures['cpu_seconds']:g} s of CPU. Sampling itself took {figures['sampler_seconds']:g} s of CPU."
    )


def _print(stacks: Stacks, figures: dict[str, Any]) -> None:
    from tenantry.ops.inspect import flame

    say(_words(figures))
    say("\nBy procedure:")
    for name, share in list(figures["procedures"].items())[:15]:
        say(f"{share:7.1%} {name}")
    say("\nBy function, in itself:")
    for name, share in figures["hottest"]:
        say(f"{share:7.1%} {name}")
    say("\nBy the way to it (2 % and more):")
    busy = {stack: count for stack, count in stacks.items() if stack != ("(idle)",)}
    for line in flame.lines(flame.tree(busy)):
        say(line)
    say()

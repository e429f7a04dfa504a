"""`tenantry heap snapshot | compare | list | watch`: what the memory of a running worker holds, and what grew."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import msgspec

from tenantry.cli.inspecting import folder, meant, size, stamp
from tenantry.cli.place import say, show, tell
from tenantry.files import write_whole
from tenantry.settings import Settings

SHOWN = 20


def snapshot(arguments: argparse.Namespace) -> int:
    """Count, keep it in a file, and show the biggest."""
    from tenantry.ops.inspect import ask

    settings = Settings.load()
    told: list[dict[str, Any]] = []
    for worker in meant(settings, arguments):
        found = ask(worker, "heap")
        name = f"{stamp()}-{worker.pid}"
        path = folder(settings, "heap", arguments.folder) / f"{name}.json"
        write_whole(path, json.dumps({"name": name, **found}).encode())
        told.append({"name": name, "file": str(path), **found})
    if arguments.json:
        show(told)
        return 0
    for found in told:
        say(f"{found['name']}: {size(found['rss'])} resident, {found['objects']} tracked objects.")
        _rows([(name, count, own) for name, (count, own) in list(found["types"].items())[:SHOWN]])
        if found["holders"]:
            say("Held by:")
            _rows([(h["name"], h["elements"], h["bytes"]) for h in found["holders"][:SHOWN]], "elements")
        say(f"Longest pause {found['longest_ms']:g} ms, {found['steps']} steps in {found['took_ms'] / 1000:.1f} s.")
    say("Later: tenantry heap snapshot, then tenantry heap compare")
    return 0


def list_(arguments: argparse.Namespace) -> int:
    """The snapshots that are kept."""
    found = _all(Settings.load(), arguments)
    if arguments.json:
        show(
            [
                {"name": one["name"], "at": one["at"], "pid": one["pid"], "rss": one["rss"], "objects": one["objects"]}
                for one in found
            ]
        )
        return 0
    for one in found:
        say(f"{one['name']}  {size(one['rss']):>10}  {one['objects']:>9} objects  worker {one['pid']}")
    if not found:
        say("None is kept here: tenantry heap snapshot")
    return 0


def compare(arguments: argparse.Namespace) -> int:
    """What grew from one to the other; without names, from the last but one of the newest's worker."""
    from tenantry.ops.inspect import compare as comparing

    earlier, later = _two(Settings.load(), arguments)
    found = comparing.compare(earlier, later)
    if arguments.json:
        show({"earlier": earlier["name"], "later": later["name"], **msgspec.to_builtins(found)})
        return 0
    if not found.is_same_process:
        tell("These are two processes: the worker was replaced in between, or another one was looked at.")
    say(
        f"{earlier['name']} → {later['name']}: {found.seconds:g} s, {_signed(found.rss)} resident, {_signed(found.bytes)} of objects."
    )
    say("By type:")
    _grew(found.types)
    say("By holder:")
    _grew(found.holders)
    return 0


def watch(arguments: argparse.Namespace) -> int:
    """Where what is allocated from now on, and stays, is allocated."""
    from tenantry.ops.inspect import ask

    told: list[dict[str, Any]] = []
    for worker in meant(Settings.load(), arguments):
        if not arguments.json:
            tell(f"Worker {worker.pid}: looking for {arguments.seconds:g} s; each allocation costs it more meanwhile.")
        told.append(ask(worker, "watch", patience=arguments.seconds + 60.0, seconds=arguments.seconds))
    if arguments.json:
        show(told)
        return 0
    for found in told:
        say(f"Worker {found['pid']}: {found['blocks']} blocks of {found['seconds']:g} s are still there.")
        for site in found["sites"][: arguments.top]:
            say(f"{size(site['bytes']):>10}  {site['blocks']:>8} blocks  {site['way'][0]}")
            for line in site["way"][1 : arguments.frames]:
                say(f"{'':>30}  {line}")
        if found.get("is_full"):
            say("Ended early: there is as much to copy as a worker may be held up for.")
        say(f"Longest pause {found['longest_ms']:g} ms.")
    return 0


def _all(settings: Settings, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    place: Path = arguments.folder or settings.home / "heap"
    found: list[dict[str, Any]] = []
    for path in place.glob("*.json"):
        one = _read(path)
        if one is not None:
            found.append(one)
    return sorted(found, key=lambda one: one["at"])


def _read(path: Path) -> dict[str, Any] | None:
    try:
        one: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return one if {"name", "types", "holders", "at", "pid", "rss", "objects"} <= one.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def _two(settings: Settings, arguments: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    from tenantry.ops.inspect import InspectFailed

    found = _all(settings, arguments)

    def one(name: str) -> dict[str, Any]:
        read = next((it for it in found if it["name"] == name), None) or _read(Path(name))
        if read is None:
            raise InspectFailed(what=f"Snapshot {name[:80]}", why="there is none", cure="See: tenantry heap list")
        return read

    if arguments.earlier and arguments.later:
        return one(arguments.earlier), one(arguments.later)
    newest = found[-1] if found else None
    if arguments.earlier and newest is not None:
        return one(arguments.earlier), newest
    same = [it for it in found if newest is not None and it["pid"] == newest["pid"]]
    if len(same) < 2:
        raise InspectFailed(
            what="Comparing", why="there are no two snapshots of one worker",
            cure="Make another: tenantry heap snapshot   (or name two: tenantry heap compare A B)",
        )  # fmt: skip
    return same[-2], same[-1]


def _rows(rows: list[tuple[str, int, int]], word: str = "") -> None:
    for name, count, own in rows:
        say(f"{size(own):>10}  {count:>9} {word}{' ' if word else ''} {name}")


def _grew(rows: list[Any]) -> None:
    grown = [one for one in rows if one.bytes > 0 or one.more > 0]
    for one in grown[:SHOWN]:
        say(f"{_signed(one.bytes):>11}  {one.more:>+9}  (now {one.now})  {one.name}")
    if not grown:
        say("  nothing grew")


def _signed(number: int) -> str:
    return f"{'+' if number >= 0 else ''}{size(number)}"

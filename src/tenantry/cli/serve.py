"""`tenantry serve`, `stop`, `restart`, `reload`, `status`, `watch`: from words to the processes, and back to words."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tenantry.cli.place import say, show, tell
from tenantry.settings import Settings


def run(arguments: argparse.Namespace) -> int:
    """Serve an application until SIGINT or SIGTERM."""
    from tenantry.processes import serve
    from tenantry.processes.orders import Orders
    from tenantry.processes.reloading import Reloading
    from tenantry.processes.serving import run_demo

    given = {name: getattr(arguments, name) for name in ("host", "port", "workers")}
    orders = Orders(arguments.app, {name: value for name, value in given.items() if value is not None})

    def announce(url: str, settings: Settings, port: int) -> None:
        if arguments.demo and settings.env == "development":
            run_demo(port)
        name = arguments.app or settings.app
        if settings.env == "development":
            tell(f"Procedures, forms, requests: {url}/_dev")
        tell(f"Serving {name} on {url}{settings.base_path}   (Ctrl-C ends it)")

    reloading = None
    if arguments.reload or arguments.push or arguments.types is not None:
        types = None if arguments.types is None else Path(arguments.types).absolute()
        reloading = Reloading(Path.cwd(), types, pushes=arguments.push)
        if Settings.load().log == "auto":  # whoever saves files reads the log, at whatever it comes out
            orders = Orders(orders.app, {**orders.over, "log": "text"})
    return serve(orders, announce, reloading)


def stop(arguments: argparse.Namespace) -> int:
    """Drain and end what serves in this home, and let go of the port."""
    from tenantry.processes import stop as stop_all

    done = stop_all(Settings.load())
    words = f"Stopped process {done['pid']}." if done["stopped"] else "Nothing was serving."
    return _told(arguments, done, words + (" The port is free." if done["keeper_ended"] else ""))


def restart(arguments: argparse.Namespace) -> int:
    """Start everything anew, in the same process id; clients wait a moment, none is refused."""
    from tenantry.processes import restart as restart_all

    done = restart_all(Settings.load())
    return _told(arguments, done, f"Process {done['pid']} started anew, with {len(done['workers'])} workers.")


def reload(arguments: argparse.Namespace) -> int:
    """Replace the workers one by one, each ready before the old one drains."""
    from tenantry.processes import reload as reload_all

    done = reload_all(Settings.load())
    return _told(arguments, done, f"{len(done['workers'])} workers replaced.")


def status(arguments: argparse.Namespace) -> int:
    """The processes of this home; exit code 1 if nothing serves."""
    from tenantry.processes import status as look

    found = look(Settings.load())
    lines = [f"{name:<12}{found[name] or '-'}" for name in ("supervisor", "keeper", "watcher", "state", "port")]
    lines += [f"worker {w['number']:<5}{w['pid']} {w['state']}" for w in found["workers"]]
    _told(arguments, found, "\n".join(lines))
    return 0 if found["serving"] else 1


def watch(arguments: argparse.Namespace) -> int:
    """The watcher alone, for an API under a stock ASGI server."""
    del arguments
    from tenantry.cli.place import ready
    from tenantry.processes.log import start_log
    from tenantry.processes.watcher import watch_alone

    settings = ready(Settings.load())[0]
    start_log(settings)
    watch_alone(settings)
    return 0


def _told(arguments: argparse.Namespace, facts: dict[str, Any], words: str) -> int:
    if arguments.json:
        show(facts)
    else:
        say(words)
    return 0

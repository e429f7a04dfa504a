"""What remedies do, by whoever runs this installation: PM2, systemd, or our own supervisor. Each may be done twice."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from tenantry.runbook.place import Place

SERVICE = "platform-api"


async def manager(place: Place) -> str:
    """Who started the API: `pm2`, `systemd`, `tenantry`, or `nobody`."""
    from tenantry.runbook.model import NotApplicable

    try:
        code, output = await place.run("pm2", "jlist", seconds=3.0)
        if code == 0 and f'"name":"{SERVICE}"' in output:
            return "pm2"
    except (NotApplicable, TimeoutError):
        pass
    try:
        code, output = await place.run("systemctl", "show", SERVICE, "--property=LoadState", seconds=3.0)
        if code == 0 and "LoadState=loaded" in output:
            return "systemd"
    except (NotApplicable, TimeoutError):
        pass
    from tenantry.processes import status

    found: dict[str, Any] = status(place.settings)
    return "tenantry" if found.get("serving") else "nobody"


async def restart_api(place: Place, fields: Mapping[str, Any]) -> str:
    """`pm2 restart platform-api`, or what does the same here."""
    who = await manager(place)
    commands = {
        "pm2": ("pm2", "restart", SERVICE), "systemd": ("systemctl", "restart", SERVICE), "tenantry": ("tenantry", "restart"),
    }  # fmt: skip
    if who not in commands:
        why = "nobody runs the API here: start it (tenantry serve, pm2 start, systemctl start)"
        raise RuntimeError(why)
    command = commands[who]
    code, output = await place.run(*_own(command), seconds=60.0)
    if code != 0:
        raise RuntimeError(output[-500:] or f"{' '.join(command)} ended with {code}")
    return " ".join(command)


async def reload_api(place: Place, fields: Mapping[str, Any]) -> str:
    """Replace the workers one by one; no request is dropped."""
    who = await manager(place)
    command = (
        ("pm2", "sendSignal", "SIGHUP", SERVICE)
        if who == "pm2"
        else ("systemctl", "reload", SERVICE)
        if who == "systemd"
        else ("tenantry", "reload")
    )
    code, output = await place.run(*_own(command), seconds=60.0)
    if code != 0:
        raise RuntimeError(output[-500:] or f"{' '.join(command)} ended with {code}")
    return " ".join(command)


async def start_database(place: Place, fields: Mapping[str, Any]) -> str:
    """Our own server: `tenantry db start`."""
    from tenantry.db.embedded import Embedded

    await asyncio.to_thread(
        Embedded(place.home, place.settings.postgres_port, slow_ms=place.settings.slow_statement_ms).ensure
    )
    return "tenantry db start"


async def push(place: Place, fields: Mapping[str, Any]) -> str:
    """`tenantry db push`: put back what should be there."""
    code, output = await place.run(*_own(("tenantry", "db", "push")), seconds=120.0)
    if code != 0:
        raise RuntimeError(output[-500:] or f"tenantry db push ended with {code}")
    return output[-300:]


async def resume(place: Place, fields: Mapping[str, Any]) -> str:
    """SIGCONT to the stopped processes that were named in the evidence."""
    import signal

    for pid in fields["pids"]:
        os.kill(pid, signal.SIGCONT)
    return f"kill -CONT {' '.join(map(str, fields['pids']))}"


def _own(command: tuple[str, ...]) -> tuple[str, ...]:
    """`tenantry` is the one that runs now, wherever PATH leads."""
    import sys

    return (sys.executable, "-m", "tenantry.cli.main", *command[1:]) if command[0] == "tenantry" else command

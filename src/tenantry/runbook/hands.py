"""What remedies do, by whoever runs this installation: PM2, systemd, or our own supervisor. Each may be done twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from typing import Any, LiteralString, cast

from tenantry.runbook.place import Place

SERVICE = "platform-api"
WAITS, WAIT_SECONDS = 40, 0.5
"""For another watcher: the supervisor waits up to ten seconds after one that did not live long."""


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


async def replace_watcher(place: Place, fields: Mapping[str, Any]) -> str:
    """End a watcher that is stopped or hangs: its supervisor starts another, and no request notices. One without a supervisor: restart."""
    import psutil

    from tenantry.processes import status

    pid = status(place.settings).get("watcher")
    try:
        process = psutil.Process(int(pid)) if pid else None
        if process is None or "tenantry.processes.watcher" not in " ".join(process.cmdline()):
            return await restart_api(place, fields)
        process.kill()
    except psutil.Error:
        return await restart_api(place, fields)
    for _ in range(WAITS):
        await asyncio.sleep(WAIT_SECONDS)
        if status(place.settings).get("watcher") not in (None, pid):
            return f"kill -KILL {pid}; the supervisor started another"
    return await restart_api(place, fields)


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


async def start_system_database(place: Place, fields: Mapping[str, Any]) -> str:
    """A server of this machine that is not ours: systemd, or Debian's pg_ctlcluster where there is no systemd."""
    from tenantry.runbook.model import NotApplicable

    commands: list[tuple[str, ...]] = [("systemctl", "start", "postgresql")]
    with contextlib.suppress(NotApplicable, TimeoutError):
        code, output = await place.run("pg_lsclusters", "--no-header")
        for line in output.splitlines() if code == 0 else ():
            version, cluster, port, *_ = line.split()
            if port == str(fields.get("port")):
                commands.append(("pg_ctlcluster", version, cluster, "start"))
    sudo = () if os.geteuid() == 0 else ("sudo", "-n")
    last = "neither systemctl nor pg_ctlcluster is here"
    for command in commands:
        try:
            code, output = await place.run(*sudo, *command, seconds=60.0)
        except (NotApplicable, TimeoutError) as error:
            last = str(error) or "no answer"
            continue
        if code == 0:
            return " ".join(command)
        last = output[-300:] or f"{' '.join(command)} ended with {code}"
    raise RuntimeError(last)


async def rotate_secret(place: Place, fields: Mapping[str, Any]) -> str:
    """`tenantry secret rotate`: a new secret first, the old one goes on verifying; then the workers take it."""
    code, output = await place.run(*_own(("tenantry", "secret", "rotate", "--file", str(place.env_file))), seconds=30.0)
    if code != 0:
        raise RuntimeError(output[-500:] or f"tenantry secret rotate ended with {code}")
    return f"{output.strip()[-200:]}; {await reload_api(place, fields)}"


async def test_alert(place: Place, fields: Mapping[str, Any]) -> str:
    """`tenantry alerts test`."""
    code, output = await place.run(*_own(("tenantry", "alerts", "test")), seconds=60.0)
    if code != 0:
        raise RuntimeError(output[-500:] or f"tenantry alerts test ended with {code}")
    return output.strip()[-300:]


async def in_database(place: Place, statement: str) -> str:
    """A statement of ours as superuser, from the maintenance database: also where ours takes no connections."""
    if place.superuser is None or place.urls is None:
        raise RuntimeError("it needs a superuser: tenantry doctor --superuser-url URL")
    elsewhere = Place(place.settings, place.urls, superuser=place.superuser.with_database("postgres"))
    await elsewhere.do("superuser", cast("LiteralString", statement))  # made of constants and a quoted name
    return statement


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

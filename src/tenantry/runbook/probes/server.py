"""The database server, from outside: does its port answer, does it let us in, what do its process and its log say."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from pathlib import Path
from typing import Any

from tenantry.runbook.model import Look, NotApplicable, Probe
from tenantry.runbook.place import Place, Refusal

STARTUP_SECONDS = 0.8
"""A server that is well answers the first packet in a millisecond; a stopped one accepts and is silent."""
SIGN_IN_SECONDS = 2.7
"""Five trips and a SELECT: over a slow network (240 ms a trip) a second and a half, which is slow and not silent."""
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")


AGAIN_SECONDS = 1.1
"""The second try: silence is a finding only if it is kept up, because this machine may be busy, and slow is not dead."""


async def _port(place: Place) -> Look:
    """TCP (or the socket), then one packet: a stopped server accepts connections and is silent. Twice, if it is."""
    first = await _knock(place, STARTUP_SECONDS * place.patience)
    return first if first.values.get("why") != "silent" else await _knock(place, AGAIN_SECONDS * place.patience)


async def _knock(place: Place, seconds: float) -> Look:
    import psycopg.conninfo

    facts: dict[str, Any] = dict(psycopg.conninfo.conninfo_to_dict(place.url("direct").reveal()))
    host, port = str(facts.get("host") or "/var/run/postgresql"), int(str(facts.get("port") or 5432).split(",")[0])
    host = host.split(",", maxsplit=1)[0]
    where = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else f"{host}:{port}"
    started = time.perf_counter()
    writer = None
    try:
        async with asyncio.timeout(seconds):
            if host.startswith("/"):
                reader, writer = await asyncio.open_unix_connection(where)
            else:
                reader, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        others = await asyncio.to_thread(_others, port) if _is_here(host) else []
        words = f"{port}: ECONNREFUSED" + (f"; PostgreSQL listens on {', '.join(map(str, others))}" if others else "")
        return Look({"open": False, "why": "refused", "port": port, "is_here": _is_here(host), "others": others}, words)
    except FileNotFoundError:
        others = await asyncio.to_thread(_sockets, host)
        words = f"{port}: no socket" + (f"; there is one of {', '.join(map(str, others))}" if others else "")
        return Look({"open": False, "why": "refused", "port": port, "others": others}, words)
    except ConnectionError:
        return Look({"open": False, "answers": False, "why": "reset", "port": port}, f"{port}: reset by peer")
    except TimeoutError:
        return Look(
            {"open": False, "why": "silent", "port": port},
            f"{port}: no answer to a connection in {seconds:g} s",
        )
    except socket.gaierror:
        return Look({"open": False, "why": "unknown host", "port": port}, "the host's name is not known")
    try:
        writer.write(_SSL_REQUEST)
        async with asyncio.timeout(seconds):
            answer = await reader.read(1)
    except TimeoutError:
        return Look(
            {"open": True, "answers": False, "why": "silent", "port": port},
            f"{port}: accepts, and is silent for {seconds:g} s",
        )
    except ConnectionError:
        return Look({"open": True, "answers": False, "why": "reset", "port": port}, f"{port}: reset by peer")
    finally:
        with contextlib.suppress(Exception):
            writer.transport.abort()
    took = (time.perf_counter() - started) * 1000
    if answer == b"":
        return Look(
            {"open": True, "answers": False, "why": "closed", "port": port}, f"{port}: closes without an answer"
        )
    if answer not in (b"S", b"N", b"E"):
        return Look(
            {"open": True, "answers": False, "why": "stranger", "port": port}, f"{port}: what answers is not PostgreSQL"
        )
    return Look(
        {"open": True, "answers": True, "ms": round(took, 1), "port": port}, f"{port}: answers in {took:.1f} ms"
    )


def _others(port: int) -> list[int]:
    """Other ports of this machine that a PostgreSQL listens on; [] where it may not be seen."""
    import psutil

    found: set[int] = set()
    with contextlib.suppress(psutil.Error, OSError):
        for one in psutil.net_connections("tcp"):
            if one.status != psutil.CONN_LISTEN or not one.pid or not one.laddr:
                continue
            with contextlib.suppress(psutil.Error):
                if psutil.Process(one.pid).name() in ("postgres", "postmaster"):
                    found.add(int(one.laddr[1]))
    return sorted(found - {port})


def _sockets(folder: str) -> list[int]:
    return sorted(int(file.suffix[1:]) for file in Path(folder).glob(".s.PGSQL.*") if file.suffix[1:].isdigit())


def _is_here(host: str) -> bool:
    return host.startswith("/") or host in ("localhost", "127.0.0.1", "::1")


async def _login(place: Place, login: Any) -> Look:
    """Sign in, and one SELECT: what a request's connection meets."""
    started = time.perf_counter()
    try:
        await place.greet(login, seconds=SIGN_IN_SECONDS)
    except Refusal as refusal:
        return Look(
            {"in": False, "sqlstate": refusal.sqlstate, "words": refusal.words}, f"{refusal.sqlstate} {refusal.words}"
        )
    except TimeoutError:
        return Look({"in": False, "sqlstate": "", "words": "", "silent": True}, f"no answer in {SIGN_IN_SECONDS:g} s")
    took = (time.perf_counter() - started) * 1000
    return Look({"in": True, "ms": round(took, 1)}, f"signed in, SELECT 1 in {took:.1f} ms")


async def _as_platform(place: Place) -> Look:
    return await _login(place, "platform")


async def _as_ops(place: Place) -> Look:
    return await _login(place, "ops")


async def _as_auth(place: Place) -> Look:
    return await _login(place, "auth")


def _pid(place: Place) -> tuple[int, Path]:
    if not place.is_embedded:
        why = "the server is not ours, and may be on another machine"
        raise NotApplicable(why)
    from tenantry.db.embedded import Embedded

    data = Embedded(place.home, place.settings.postgres_port).status().data
    try:
        return int((data / "postmaster.pid").read_text("utf-8").split("\n", 1)[0]), data
    except (OSError, ValueError):
        return 0, data


async def _process(place: Place) -> Look:
    """Our own server's process: whether it lives, and whether it is stopped (T) or stuck in the kernel (D)."""
    import psutil

    pid, data = _pid(place)
    try:
        process = psutil.Process(pid) if pid else None
        status = process.status() if process is not None else None
        if process is not None and "postgres" not in process.name():
            process, status = None, None
        children = [(child.pid, child.status()) for child in process.children()] if process is not None else []
    except psutil.Error:
        process, status, children = None, None, []
    disk = psutil.disk_usage(str(data if data.exists() else place.home))
    values = {
        "pid": pid if process is not None else None, "status": status, "stopped": status == psutil.STATUS_STOPPED,
        "stuck": status == psutil.STATUS_DISK_SLEEP, "stopped_children": [pid for pid, state in children if state == psutil.STATUS_STOPPED],
        "free_bytes": disk.free, "data": str(data),
    }  # fmt: skip
    output = f"pid {pid or 'none'}, {status or 'not running'}, {disk.free // 1_000_000} MB free where its data lie"
    return Look(values, output)


async def _log(place: Place) -> Look:
    """The end of our own server's log, and what in it matters."""
    if not place.is_embedded:
        why = "the server is not ours; its log is where its operator put it"
        raise NotApplicable(why)
    from tenantry.db.embedded import Embedded

    logs = sorted(
        Embedded(place.home, place.settings.postgres_port).status().log.glob("*.log"),
        key=lambda file: file.stat().st_mtime,
    )
    if not logs:
        why = "there is no log yet"
        raise NotApplicable(why)
    path = logs[-1]
    lines = path.read_bytes()[-20_000:].decode("utf-8", "replace").splitlines()[-50:]
    text = "\n".join(lines)
    signs = {
        "crashed": "was terminated by signal" in text, "disk_full": "No space left on device" in text,
        "recovering": "automatic recovery in progress" in text, "panic": "PANIC" in text,
    }  # fmt: skip
    return Look(
        signs,
        "\n".join(line for line in lines if "FATAL" in line or "PANIC" in line or "terminated" in line)[-1500:]
        or "nothing of note in the last 50 lines",
    )


async def _hba(place: Place) -> Look:
    """pg_hba.conf as the server reads it: lines that are faulty, and those that refuse."""
    rows = await place.ask("superuser", HBA_SQL)
    lines = [f"line {r['line']}: {r['rule']}{'  -- ' + r['error'] if r['error'] else ''}" for r in rows]
    bad = [r for r in rows if r["error"] or r["method"] == "reject"]
    return Look({"rules": rows, "bad": bad}, "\n".join(lines[:20]) or "no rule")


HBA_SQL = """
select h.line_number as line, h.auth_method as method, h.error,
       pg_catalog.concat_ws(' ', h.type, pg_catalog.array_to_string(h.database, ','), pg_catalog.array_to_string(h.user_name, ','), h.address, h.netmask, h.auth_method) as rule
  from pg_catalog.pg_hba_file_rules h
 where h.error is not null or h.user_name && array['all', 'platform', '+platform'] order by 1 limit 50
"""


async def _pooler(place: Place) -> Look:
    """PgBouncer's own view, where DATABASE_URL is one: asked in its console."""
    import psycopg

    settings = place.settings
    if settings.database_direct_url is None or place.urls is None:
        why = "no pooler is configured (DATABASE_DIRECT_URL beside DATABASE_URL)"
        raise NotApplicable(why)
    async with asyncio.timeout(2.5):
        try:
            connection = await psycopg.AsyncConnection.connect(
                place.urls.platform.with_database("pgbouncer").reveal(),
                autocommit=True,
                connect_timeout=3,
                prepare_threshold=None,
            )
        except psycopg.Error as error:
            why = f"its console does not let platform in (stats_users): {' '.join(str(error).split())[:120]}"
            raise NotApplicable(why) from None
        try:
            rows: list[dict[str, Any]] = []
            for statement in (b"SHOW POOLS", b"SHOW CONFIG"):
                found = connection.pgconn.exec_(statement)  # its console speaks the simple protocol alone
                names = [(found.fname(i) or b"").decode() for i in range(found.nfields)]
                rows += [
                    dict(
                        zip(names, [(found.get_value(r, i) or b"").decode() for i in range(found.nfields)], strict=True)
                    )
                    for r in range(found.ntuples)
                ]
        finally:
            connection.pgconn.finish()
    pools = [row for row in rows if "cl_waiting" in row and row.get("database") != "pgbouncer"]
    waiting = sum(int(row["cl_waiting"]) for row in pools)
    longest = max((int(row.get("maxwait") or 0) for row in pools), default=0)
    mode = next(
        (row["value"] for row in rows if row.get("key") == "pool_mode"),
        next((row.get("pool_mode", "") for row in pools), ""),
    )
    lines = [
        f"{r['database']}/{r['user']}: cl_active {r['cl_active']}, cl_waiting {r['cl_waiting']}, sv_active {r['sv_active']}, maxwait {r.get('maxwait')}"
        for r in pools
    ]
    return Look({"waiting": waiting, "longest": longest, "mode": mode}, "\n".join([f"pool_mode {mode}", *lines]))


HBA = Probe("pg-hba", "select * from pg_hba_file_rules", _hba)
POOLER = Probe("pooler", 'psql -p 6432 -U postgres pgbouncer -c "SHOW POOLS;"', _pooler)
PORT = Probe("server-port", "pg_isready; ss -ltn", _port, 3.5)
AS_PLATFORM = Probe("server-login", 'psql -U platform -d platform -c "SELECT 1;"', _as_platform)
AS_OPS = Probe("server-login-ops", 'tenantry psql --role tenantry_ops -c "SELECT 1;"', _as_ops)
AS_AUTH = Probe("server-login-auth", 'tenantry psql --role tenantry_auth -c "SELECT 1;"', _as_auth)
PROCESS = Probe("server-process", "ps -o pid,stat,args -C postgres; df -h", _process)
LOG = Probe("server-log", "tail -50 $TENANTRY_HOME/log/*.log", _log)

"""The files that others read to run us: PM2's ecosystem, systemd's units, PgBouncer's configuration. Pure: values in, texts out.

Each line that is not evident says why it is there. `docs/guides/deploy.md` is the way through them.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from msgspec import Struct

NAME = "platform-api"
KILL_MS = 10_000
"""PM2's own is 1.6 s, too short for what is under way; above TENANTRY_DRAIN_MS and what follows it."""


class Served(Struct, frozen=True):
    """What is to be run: the program, its arguments, from where, and with which state."""

    program: Path
    app: str
    workers: int
    folder: Path
    home: Path
    port: int
    account: str


def ecosystem(served: Served) -> str:
    """`ecosystem.config.js`: `pm2 start ecosystem.config.js`, and then the runbook's commands as they are."""
    script, arguments = str(served.program), f"serve {served.app} --workers {served.workers}"
    # PM2 gives a script with a space in it to the shell, and then takes no arguments.
    is_for_shell = " " in script
    run = (
        {"script": f"exec {shlex.quote(script)} {arguments}"} if is_for_shell else {"script": script, "args": arguments}
    )
    one = {
        "name": NAME,
        **run,
        "cwd": str(served.folder),
        "interpreter": "none",
        "exec_mode": "fork",
        "wait_ready": True,
        "listen_timeout": 10_000,
        "kill_timeout": KILL_MS,
        "max_memory_restart": "500M",
        "exp_backoff_restart_delay": 100,
        "merge_logs": True,
        "env": {"PYTHONUNBUFFERED": "1", "TENANTRY_HOME": str(served.home)},
    }
    says = (
        "// PM2 looks at the memory of the process that it started, the supervisor; the supervisor holds each worker to the same\n"
        "// max_memory_restart and replaces the one that is above it. Secrets belong into .env beside the application, not here.\n"
    )
    return f"{says}module.exports = {{ apps: [{json.dumps(one, indent=2)}] }};\n"


def word_of_unit(path: Path | str) -> str:
    """One word of a unit's line: quoted where it must be, and without specifiers (systemd.syntax(7))."""
    text = str(path).replace("%", "%%")
    if not any(char in " \t\"'\\" for char in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def service_unit(served: Served) -> str:
    """`platform-api.service`."""
    return f"""\
[Unit]
Description=Tenantry serves {served.app}
Documentation=https://github.com/tenantry/tenantry
After=network-online.target postgresql.service
Wants=network-online.target
Requires={NAME}.socket
# A start that fails is tried again, but not for ever.
StartLimitIntervalSec=300
StartLimitBurst=30

[Service]
# The supervisor says when requests are answered, and that it is alive (sd_notify).
Type=notify
NotifyAccess=main
User={served.account}
WorkingDirectory={str(served.folder).replace("%", "%%")}
Environment={word_of_unit(f"TENANTRY_HOME={served.home}")}
Environment=PYTHONUNBUFFERED=1
ExecStart={word_of_unit(served.program)} serve {served.app} --workers {served.workers}
# New workers, each ready before an old one drains.
ExecReload=/bin/kill -HUP $MAINPID
# SIGTERM goes to the supervisor alone, which drains the workers; what is left after the time is killed.
KillMode=mixed
TimeoutStartSec=90
TimeoutStopSec=12
WatchdogSec=30
Restart=always
RestartSec=1
LimitNOFILE=65536
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=strict
ReadWritePaths={word_of_unit(served.home)}
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes

[Install]
WantedBy=multi-user.target
"""


def socket_unit(served: Served) -> str:
    """`platform-api.socket`: systemd holds the listening socket, so that a restart refuses nobody."""
    return f"""\
[Unit]
Description=The listening socket of {NAME}

[Socket]
ListenStream=127.0.0.1:{served.port}
Backlog=2048
NoDelay=true

[Install]
WantedBy=sockets.target
"""


class Pooled(Struct, frozen=True):
    """The server behind the pooler, who signs in, and which pooler it is."""

    host: str
    port: int
    database: str
    users: dict[str, str]
    """Role → password, for `userlist.txt`."""
    admins: tuple[str, ...]
    clients: int
    """Connections that the API may open."""
    version: tuple[int, int]
    folder: Path
    listen_port: int = 6432


def pgbouncer_ini(pooled: Pooled) -> str:
    """`pgbouncer.ini`: the runbook's settings, and what they lack."""
    prepared = (
        "max_prepared_statements = 256"
        if pooled.version >= (1, 21)
        else "; from 1.21 on: max_prepared_statements = 256"
    )
    return f"""\
; Written by: tenantry pgbouncer init. The names of the databases are the server's own.
[databases]
{pooled.database} = host={pooled.host} port={pooled.port} dbname={pooled.database}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {pooled.listen_port}
; The console, for SHOW POOLS: psql -p {pooled.listen_port} -U {pooled.admins[0]} pgbouncer
admin_users = {", ".join(pooled.admins)}

; The runbook's three. A transaction is the unit: nothing of Tenantry's outlives one.
pool_mode = transaction
default_pool_size = 25
max_client_conn = {max(100, 2 * pooled.clients)}

; What they lack.
; Who signs in, with which password; the file must be readable by PgBouncer's account alone.
auth_type = scram-sha-256
auth_file = {pooled.folder / "userlist.txt"}
; Statements that stay prepared over transactions. Without it Tenantry finds that out, and sends unnamed ones.
{prepared}
; What drivers send at the start and PgBouncer cannot keep for them.
ignore_startup_parameters = extra_float_digits, options, statement_timeout, idle_in_transaction_session_timeout
; A request waits no longer for a server connection than it may wait itself.
query_wait_timeout = 5
; Some for those who find the pool full while others hold it.
reserve_pool_size = 5
reserve_pool_timeout = 1
; A server that is silent is given up.
server_connect_timeout = 3
server_login_retry = 1
tcp_keepalive = 1
tcp_keepidle = 10
tcp_keepintvl = 5
tcp_keepcnt = 3
; A client whose request was given up must not hold its server connection.
client_idle_timeout = 0
server_idle_timeout = 300
"""


def userlist(pooled: Pooled) -> str:
    """`userlist.txt`."""
    lines = [f'"{_quoted(user)}" "{_quoted(password)}"' for user, password in pooled.users.items()]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return text.replace('"', '""')

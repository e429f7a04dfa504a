"""Database connection issues: refused, silent, cut off, full, read-only, or not letting us in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenantry.db.sql import quoted
from tenantry.runbook import hands
from tenantry.runbook.model import Cause, Facts, Remedy, Section, Verdict, Verification
from tenantry.runbook.place import Place
from tenantry.runbook.probes.activity import CONNECTIONS
from tenantry.runbook.probes.server import AS_AUTH, AS_OPS, AS_PLATFORM, HBA, LOG, PORT, PROCESS
from tenantry.runbook.probes.statements import DISTANCE

STALE = frozenset(
    {
        "api-has-stale-connections",
        "api-gone",
        "procedure-fails",
        "procedure-slow",
        "statement-slow",
        "migrations-differ",
    }
)
FOLLOWS = STALE | {"server-not-running"}
ENOUGH_BYTES = 200_000_000
HOW = {"reset": "resets", "closed": "closes", "stranger": "answers"}
FAR_MS = 50.0
CLOCK_SECONDS = 60.0
USED_UP = 0.9


def _signed_in(values: dict[str, Any]) -> bool:
    return values.get("in") is True


IN_AGAIN = Verification(AS_PLATFORM.name, "SELECT 1 as platform", _signed_in, 30.0)


async def _allow(place: Place, fields: Mapping[str, Any]) -> str:
    return await hands.in_database(place, f"alter database {_database(place)} allow_connections true")


async def _unlimit(place: Place, fields: Mapping[str, Any]) -> str:
    return await hands.in_database(place, "alter role platform connection limit -1")


async def _unlimit_database(place: Place, fields: Mapping[str, Any]) -> str:
    return await hands.in_database(place, f"alter database {_database(place)} connection limit -1")


async def _writable(place: Place, fields: Mapping[str, Any]) -> str:
    await hands.in_database(place, "alter system reset default_transaction_read_only")
    await hands.in_database(place, "select pg_catalog.pg_reload_conf()")
    await hands.in_database(place, f"alter database {_database(place)} reset default_transaction_read_only")
    for role in ("platform", "tenantry_auth"):
        await hands.in_database(place, f"alter role {role} reset default_transaction_read_only")
        await hands.in_database(
            place, f"alter role {role} in database {_database(place)} reset default_transaction_read_only"
        )
    return "default_transaction_read_only reset; connections that are open keep what they have: tenantry reload"


def _database(place: Place) -> str:
    return quoted(place.url("platform").database)


async def _end_unused(place: Place, fields: Mapping[str, Any]) -> str:
    rows = await place.do(
        "ops", "select tenantry.terminate_unused($1, interval '10 minutes') as n", [fields["application"]]
    )
    return f"{rows[0]['n']} unused connections of {fields['application']}"


START_OWN = Remedy(
    "start-server",
    "S",
    "tenantry db start",
    "none",
    "Its data and log lie under TENANTRY_HOME.",
    hands.start_database,
    IN_AGAIN,
)
START_SYSTEM = Remedy(
    "start-system-server", "A", "sudo systemctl start postgresql", "os",
    "Without systemd: pg_lsclusters, then pg_ctlcluster VERSION CLUSTER start.", hands.start_system_database, IN_AGAIN,
)  # fmt: skip
START_ELSEWHERE = Remedy(
    "start-remote-server",
    "M",
    "sudo systemctl start postgresql   # on the database's machine",
    "os",
    "It is not on this machine.",
)
LET_IN = Remedy(
    "let-in", "M", "host platform platform 127.0.0.1/32 scram-sha-256   # in pg_hba.conf, then: select pg_reload_conf();", "superuser",
    "The runbook's md5 is only a fallback, for clients that know nothing better.", who="DB",
)  # fmt: skip
ALLOW = Remedy(
    "allow-connections", "A", "alter database {database} allow_connections true;", "superuser",
    "Find out who forbade it, and why.", _allow, IN_AGAIN, "DB",
)  # fmt: skip
GRANT_CONNECT = Remedy("grant-connect", "M", "grant connect on database {database} to platform;", "superuser", who="DB")
LET_ROLE_IN = Remedy(
    "let-role-sign-in", "M", "alter role platform login;", "superuser", "Find out who shut it out.", who="DB"
)
CORRECT_TLS = Remedy(
    "correct-tls", "M", "openssl s_client -starttls postgres -connect HOST:PORT </dev/null | openssl x509 -noout -dates -subject", "os",
    "The server's certificate is over, of another name or of an unknown issuer; or one side wants TLS and the other has none (sslmode).", who="L2",
)  # fmt: skip
PASSWORD = Remedy(
    "correct-password", "M", "tenantry db url   # and DATABASE_URL in .env; then: tenantry reload", "none",
    "The password of DATABASE_URL is not the server's.",
)  # fmt: skip
MAKE_DATABASE = Remedy(
    "make-database", "M", "psql -U postgres -c 'create database platform'   # then: tenantry db push", "superuser",
    "Or DATABASE_URL names another one.", who="DB",
)  # fmt: skip
UNLIMIT = Remedy(
    "lift-role-limit", "A", "alter role platform connection limit -1;", "superuser",
    "The sum of the pools is what should limit it.", _unlimit, IN_AGAIN, "DB",
)  # fmt: skip
UNLIMIT_DATABASE = Remedy(
    "lift-database-limit", "A", "alter database {database} connection limit -1;", "superuser",
    "The sum of the pools is what should limit it.", _unlimit_database, IN_AGAIN, "DB",
)  # fmt: skip
END_UNUSED = Remedy(
    "end-unused", "A", "select tenantry.terminate_unused('{application}', interval '10 minutes');", "ops",
    "Only idle back ends of platform in this database, of this application.", _end_unused, IN_AGAIN,
)  # fmt: skip
END_BY_HAND = Remedy(
    "end-holders", "M",
    "select pg_terminate_backend(pid) from pg_stat_activity where usename = '{usename}' and application_name = '{application}' and state = 'idle'"
    " and state_change < now() - interval '10 minutes';   -- psql -U postgres",
    "superuser", "Not the runbook's statement: it ends every idle session of every database.", who="DB",
)  # fmt: skip


def _disk_full(facts: Facts) -> Verdict | None:
    free = facts.of(PROCESS.name).get("free_bytes")
    if facts.of(LOG.name).get("disk_full") and free is not None and free < ENOUGH_BYTES:
        return Verdict("certain", (PROCESS.name, LOG.name, PORT.name), {"free": f"{free // 1_000_000} MB"})
    return None


def _silent(facts: Facts) -> Verdict | None:
    port, process = facts.of(PORT.name), facts.of(PROCESS.name)
    if facts.of(AS_PLATFORM.name).get("in") or facts.of(AS_OPS.name).get("in"):
        return None  # whoever lets us in is slow at most
    if not process.get("stopped") and port.get("why") != "silent":
        return None
    if process.get("stopped"):
        return Verdict("certain", (PORT.name, PROCESS.name), {"state": "stopped (T)", "pids": str(process["pid"])})
    if process.get("stuck"):
        return Verdict(
            "certain", (PORT.name, PROCESS.name), {"state": "stuck in the kernel (D)", "pids": str(process["pid"])}
        )
    return Verdict(
        "likely",
        (PORT.name, PROCESS.name),
        {"state": "no answer: stopped, or a network that swallows packets", "pids": "PID"},
    )


def _not_running(facts: Facts) -> Verdict | None:
    port, process = facts.of(PORT.name), facts.of(PROCESS.name)
    if port.get("why") != "refused" or facts.of(AS_PLATFORM.name).get("in"):
        return None
    is_own = facts.state(PROCESS.name) == "ok"
    if is_own and process.get("pid"):
        return None  # it runs, elsewhere
    if not is_own and port.get("others"):
        return Verdict("possible", (PORT.name, LOG.name), {"port": port.get("port")}, START_SYSTEM)
    remedy = START_OWN if is_own else START_SYSTEM if port.get("is_here", True) else START_ELSEWHERE
    return Verdict("certain", (PORT.name, PROCESS.name, LOG.name), {"port": port.get("port")}, remedy)


def _elsewhere(facts: Facts) -> Verdict | None:
    port, process = facts.of(PORT.name), facts.of(PROCESS.name)
    if port.get("why") != "refused" or facts.of(AS_PLATFORM.name).get("in"):
        return None
    if process.get("pid"):
        fields = {"port": port.get("port"), "where": f"pid {process['pid']}"}
        return Verdict("likely", (PORT.name, PROCESS.name, LOG.name), fields)
    if facts.state(PROCESS.name) != "ok" and port.get("others"):
        where = f"port {', '.join(map(str, port['others']))}"
        return Verdict("likely", (PORT.name,), {"port": port.get("port"), "where": where})
    return None


def _unknown_host(facts: Facts) -> Verdict | None:
    if facts.of(PORT.name).get("why") == "unknown host" and not facts.of(AS_PLATFORM.name).get("in"):
        return Verdict("certain", (PORT.name, AS_PLATFORM.name))
    return None


def _cut_off(facts: Facts) -> Verdict | None:
    port = facts.of(PORT.name)
    if port.get("why") in ("reset", "closed", "stranger") and facts.of(AS_PLATFORM.name).get("in") is False:
        return Verdict("likely", (PORT.name, AS_PLATFORM.name), {"how": HOW[port["why"]]})
    return None


def _no_reply(facts: Facts) -> Verdict | None:
    """Its port answers the first packet, and no sign-in ends: requests arrive, or are lost on the way."""
    port, ours, ops = facts.of(PORT.name), facts.of(AS_PLATFORM.name), facts.of(AS_OPS.name)
    if port.get("answers") and ours.get("silent") and ops.get("silent"):
        return Verdict("likely", (PORT.name, AS_PLATFORM.name, AS_OPS.name, PROCESS.name))
    return None


def _stopped_backend(facts: Facts) -> Verdict | None:
    process = facts.of(PROCESS.name)
    pids: list[int] = process.get("stopped_children") or []
    if not pids or process.get("stopped"):
        return None
    return Verdict("certain", (PROCESS.name, PORT.name), {"pids": " ".join(map(str, pids)), "n": len(pids)})


def _far(facts: Facts) -> Verdict | None:
    """Each trip is slow, and so is the first packet, which costs the server nothing: the way is long, not the query."""
    trip, first = facts.of(DISTANCE.name).get("trip_ms"), facts.of(PORT.name).get("ms")
    if trip is None or first is None or trip < FAR_MS or first < FAR_MS:
        return None
    return Verdict("likely", (DISTANCE.name, PORT.name), {"ms": f"{trip:.0f}"})


def _clock(facts: Facts) -> Verdict | None:
    from tenantry.runbook.probes.api import HEALTH

    for probe, whose in ((DISTANCE.name, "The database's clock"), (HEALTH.name, "The API's clock")):
        skew = facts.of(probe).get("skew_seconds")
        if skew is not None and abs(skew) > CLOCK_SECONDS:
            return Verdict("certain", (probe,), {"whose": whose, "seconds": f"{skew:+.0f}"})
    return None


def _read_only(facts: Facts) -> Verdict | None:
    found = facts.of(CONNECTIONS.name)
    if found.get("in_recovery"):
        return Verdict("certain", (CONNECTIONS.name,), {"why": "it is a standby (in recovery)"}, FAILED_OVER)
    if found.get("read_only") == "on":
        return Verdict("certain", (CONNECTIONS.name,), {"why": "default_transaction_read_only is on"})
    if found.get("role_read_only"):
        return Verdict(
            "certain", (CONNECTIONS.name,), {"why": "default_transaction_read_only is on for a role of ours"}
        )
    return None


def _recovering(facts: Facts) -> Verdict | None:
    if facts.of(AS_PLATFORM.name).get("sqlstate") == "57P03":
        return Verdict("certain", (AS_PLATFORM.name, LOG.name), {"words": facts.of(AS_PLATFORM.name).get("words")})
    return None


WORDS: Mapping[str, tuple[str, Remedy]] = {
    "42501": ("platform may not connect to this database", GRANT_CONNECT),
    "08P01": ("TLS fails between here and there", CORRECT_TLS),
    "28000": ("no line of pg_hba.conf lets us in, or one refuses us", LET_IN),
    "28P01": ("the password is wrong", PASSWORD),
    "3D000": ("there is no such database", MAKE_DATABASE),
    "55000": ("the database takes no connections", ALLOW),
}


def _refused(facts: Facts) -> Verdict | None:
    found = facts.of(AS_PLATFORM.name)
    sqlstate = str(found.get("sqlstate"))
    if sqlstate not in WORDS:
        return None
    why, remedy = WORDS[sqlstate]
    if sqlstate == "08P01":
        why = f"{why}: {found.get('words')}"
    if sqlstate == "28000" and "not permitted to log in" in str(found.get("words")):
        why, remedy = "role platform may not sign in (NOLOGIN)", LET_ROLE_IN
    bad = facts.rows(HBA.name, "bad")
    if sqlstate == "28000" and bad and remedy is LET_IN:
        why = f"line {bad[0]['line']} of pg_hba.conf: {bad[0]['error'] or bad[0]['rule']}"
    return Verdict(
        "certain",
        (AS_PLATFORM.name, AS_OPS.name, HBA.name),
        {"why": why, "sqlstate": sqlstate, "database": "platform"},
        remedy,
    )


def _others_refused(facts: Facts) -> Verdict | None:
    """Platform gets in, and another login of ours does not: sign-in, or the doctor and the watcher's records."""
    if facts.of(AS_PLATFORM.name).get("in") is not True:
        return None
    found = [
        (role, probe, facts.of(probe)) for role, probe in (("tenantry_auth", AS_AUTH.name), ("tenantry_ops", AS_OPS.name))
        if facts.of(probe).get("in") is False and facts.of(probe).get("sqlstate")
    ]  # fmt: skip
    if not found:
        return None
    what = "; ".join(f"{role} ({values['sqlstate']}) {values['words'][:160]}" for role, _, values in found)
    return Verdict("certain", tuple(probe for _, probe, _ in found), {"what": what})


def _full(facts: Facts) -> Verdict | None:
    found, server = facts.of(AS_PLATFORM.name), facts.of(CONNECTIONS.name)
    if found.get("sqlstate") != "53300":
        return None
    if "for database" in str(found.get("words")):
        which = f"the database may have {server.get('database_limit', '?')} connections"
        return Verdict(
            "certain", (AS_PLATFORM.name, CONNECTIONS.name), {"which": which, "database": "platform"}, UNLIMIT_DATABASE
        )
    if "for role" in str(found.get("words")):
        which = (
            f"role platform may have {server.get('role_limit', '?')} connections and has {server.get('role_used', '?')}"
        )
        return Verdict("certain", (AS_PLATFORM.name, CONNECTIONS.name), {"which": which}, UNLIMIT)
    which = f"max_connections is {server.get('most', '?')}, {server.get('used', '?')} are in use"
    return Verdict("certain", (AS_PLATFORM.name, AS_OPS.name, CONNECTIONS.name), *_holders(facts, which))


def _nearly_full(facts: Facts) -> Verdict | None:
    """Before it is full; by the server's count."""
    server = facts.of(CONNECTIONS.name)
    most, used = server.get("most"), server.get("used")
    if not most or used is None or facts.of(AS_PLATFORM.name).get("sqlstate") == "53300":
        return None
    for whose, limit, has, remedy in (
        ("role platform", server.get("role_limit"), server.get("role_used"), UNLIMIT),
        ("the database", server.get("database_limit"), server.get("database_used"), UNLIMIT_DATABASE),
    ):
        if limit is not None and limit >= 0 and (has or 0) >= limit * USED_UP:
            return Verdict(
                "certain",
                (CONNECTIONS.name,),
                {"which": f"{whose} may have {limit} connections and has {has}", "database": "platform"},
                remedy,
            )
    if used / max(1, most - server.get("reserved", 3)) < USED_UP:
        return None
    return Verdict("likely", (CONNECTIONS.name,), *_holders(facts, f"{used} of {most} connections are in use"))


def _holders(facts: Facts, which: str) -> tuple[dict[str, Any], Remedy | None]:
    """Who holds most of what lies idle; only an application with a name can be asked to let go."""
    groups = [g for g in facts.rows(CONNECTIONS.name, "groups") if g["application_name"] != "tenantry doctor"]
    if not groups:
        return {"which": which}, None
    idle = [g for g in groups if g["state"] == "idle" and (g["oldest"] or 0) > 600] or groups
    first = max(idle, key=lambda g: g["n"])
    name, user = first["application_name"] or "", first["usename"] or ""
    words = f"{which}; {first['n']} by {name or 'an application without a name'} as {user} ({first['state']})"
    remedy = None if idle is groups else END_UNUSED if user == "platform" and name else END_BY_HAND
    return {"which": words, "application": name, "usename": user}, remedy


FAILED_OVER = Remedy(
    "point-to-primary", "M", "psql -c 'select pg_is_in_recovery()'   # of each server; DATABASE_URL wants the one that says f", "none",
    "DATABASE_URL leads to a standby.", who="L2",
)  # fmt: skip


SECTION = Section(
    slug="database-connection-issues",
    title="Database Connection Issues",
    symptoms=(
        r"ECONNREFUSED",
        r"connection refused",
        r"could not connect",
        r"too many (clients|connections)",
        r"database unavailable",
    ),
    alerts=("DatabaseUnavailable",),
    probes=(PORT, AS_PLATFORM, AS_OPS, AS_AUTH, PROCESS, LOG, CONNECTIONS, HBA, DISTANCE),
    causes=(
        Cause(
            "disk-full",
            "The disk of the database is full ({free} left).",
            _disk_full,
            Remedy(
                "free-disk",
                "M",
                "df -h; du -xh $PGDATA | sort -h | tail",
                "os",
                "Make room (old logs, old backups), then start the server.",
                who="L2",
            ),
            FOLLOWS,
        ),
        Cause(
            "server-silent",
            "PostgreSQL accepts connections and is silent: {state}.",
            _silent,
            Remedy(
                "resume-server",
                "M",
                "kill -CONT {pids}",
                "os",
                "Find who stopped it; continue it, or restart it.",
                who="L2",
            ),
            FOLLOWS,
        ),
        Cause(
            "server-not-running",
            "PostgreSQL does not run: port {port} refuses connections.",
            _not_running,
            START_OWN,
            STALE,
        ),
        Cause(
            "server-elsewhere",
            "PostgreSQL runs ({where}), and not on port {port}.",
            _elsewhere,
            Remedy(
                "correct-port",
                "M",
                "tenantry db status; tenantry env",
                "none",
                "listen_addresses and port of the server, or DATABASE_URL.",
            ),
            STALE,
        ),
        Cause(
            "host-unknown",
            "The name of the database's host is not known here.",
            _unknown_host,
            Remedy("correct-host", "M", "getent hosts HOST   # of DATABASE_URL", "none"),
            STALE,
        ),
        Cause(
            "server-cut-off",
            "Something on the way {how} every connection before PostgreSQL answers.",
            _cut_off,
            Remedy(
                "look-at-network",
                "M",
                "ss -tn; traceroute HOST   # proxies, firewalls, TLS on one side only",
                "os",
                who="L2",
            ),
            STALE,
        ),
        Cause(
            "server-no-reply",
            "PostgreSQL's port answers, and no sign-in comes to an end: stopped back ends, or replies that are lost.",
            _no_reply,
            Remedy("look-at-server", "M", "ps -o pid,stat,wchan,args -C postgres; traceroute HOST", "os", who="L2"),
            STALE,
        ),
        Cause(
            "backend-stopped",
            "{n} processes of PostgreSQL are stopped (T): pid {pids}.",
            _stopped_backend,
            Remedy("resume-backend", "M", "kill -CONT {pids}", "os", "Find who stopped them.", who="L2"),
            STALE,
        ),
        Cause(
            "server-recovering",
            "PostgreSQL starts, stops or recovers: {words}.",
            _recovering,
            Remedy(
                "wait", "M", "tenantry doctor database-connection-issues --watch", "none", "Wait; it opens by itself."
            ),
            STALE,
        ),
        Cause(
            "server-refuses-us",
            "PostgreSQL does not let us in ({sqlstate}): {why}.",
            _refused,
            LET_IN,
            STALE,
        ),
        Cause(
            "login-refused",
            "PostgreSQL lets platform in, and not others of ours: {what}.",
            _others_refused,
            Remedy(
                "correct-login",
                "M",
                "tenantry db url   # DATABASE_AUTH_URL, DATABASE_OPS_URL in .env; \\du tenantry_*; then: tenantry reload",
                "none",
                "Without tenantry_auth nobody signs in; without tenantry_ops the doctor is blind.",
            ),
        ),
        Cause("server-full", "PostgreSQL takes no more connections: {which}.", _full, END_BY_HAND, STALE),
        Cause(
            "server-nearly-full",
            "PostgreSQL is nearly out of connections: {which}.",
            _nearly_full,
            None,
            frozenset({"procedure-fails", "procedure-slow"}),
        ),
        Cause(
            "database-read-only",
            "Every write is refused: {why}.",
            _read_only,
            Remedy(
                "make-writable",
                "A",
                "alter database platform reset default_transaction_read_only;",
                "superuser",
                "Then: tenantry reload.",
                _writable,
                Verification(
                    CONNECTIONS.name,
                    "default_transaction_read_only is off",
                    lambda v: v.get("read_only") == "off" and not v.get("role_read_only"),
                    10.0,
                ),
                "DB",
            ),
            frozenset({"procedure-fails"}),
        ),
        Cause(
            "network-slow",
            "The way to the database takes {ms} ms a trip: a slow network, not slow queries.",
            _far,
            Remedy(
                "look-at-way", "M", "ping HOST; mtr HOST", "os", "A tunnel, another region, a proxy between.", who="L2"
            ),
            frozenset({"statement-slow", "procedure-slow", "entering-slow"}),
        ),
        Cause(
            "clock-differs",
            "{whose} differs from this machine's by {seconds} s.",
            _clock,
            Remedy(
                "set-clock",
                "M",
                "timedatectl; sudo systemctl restart systemd-timesyncd",
                "os",
                "Sessions and sign-in go by it; alerts do not.",
                who="L2",
            ),
        ),
    ),
    prose=(
        "A server that is stopped accepts connections and is silent: only a deadline of the client shows it. `SELECT COUNT(*) FROM pg_stat_activity` counts "
        "PostgreSQL's own processes too. The runbook's statement that ends idle connections (`state = 'idle'`, ten minutes) takes every database and healthy "
        "pools along; what is to be ended is what one named application leaves unused."
    ),
)

"""Rights and settings: what was granted, owned and set when Tenantry was made here, and is another way now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, LiteralString, cast

from msgspec.structs import replace

from tenantry.db.sql import quoted
from tenantry.runbook import hands
from tenantry.runbook.model import Cause, Facts, Needs, Remedy, Section, Verdict, Verification, rows_of
from tenantry.runbook.place import Place
from tenantry.runbook.probes.configuration import CONFIGURATION
from tenantry.runbook.probes.counts import COUNTS, LATELY
from tenantry.runbook.probes.isolation import DEFECTS, HOLES
from tenantry.runbook.probes.rights import RIGHTS, RING

LOOK = Remedy(
    "look-at-rights", "M", "tenantry verify", "none", "There is no one statement that puts it back.", who="L2"
)
MOST = 100
FEW = 5
CALLS = frozenset({"procedure-fails", "procedure-slow", "statement-slow", "api-has-stale-connections"})
SHUT_OUT = CALLS | {"server-refuses-us", "login-refused", "api-gone"}
DECLARED = frozenset({"role", "owner", "member", "view", "definer"})


async def _cure(place: Place, fields: Mapping[str, Any]) -> str:
    """Run what the finding printed, one statement after the other."""
    cures = [str(cure) for cure in fields["cures"] if cure][:MOST]
    for cure in cures:
        await place.do("superuser", cast("LiteralString", cure))  # made by the catalogue, of quoted names
    return "; ".join(cures)


async def _reset(place: Place, fields: Mapping[str, Any]) -> str:
    """`alter system reset`, and a reload: of what a file or the command line sets, a person has to look."""
    for name in fields["names"]:
        await hands.in_database(place, f"alter system reset {quoted(name)}")
    await hands.in_database(place, "select pg_catalog.pg_reload_conf()")
    return f"reset {', '.join(fields['names'])}, reloaded"


def _gone(*keys: str) -> Callable[[dict[str, Any]], bool]:
    return lambda values: not any(rows_of(values, key) for key in keys)


def _again(name: str, keys: tuple[str, ...], says: str, probe: str = RIGHTS.name, needs: Needs = "superuser") -> Remedy:
    check = Verification(probe, "as it was made", _gone(*keys), 15.0)
    return Remedy(name, "A", "{sql}", needs, says, _cure, check, "L2")


def _rows(
    facts: Facts,
    key: str,
    words: Callable[[dict[str, Any]], str],
    probe: str = RIGHTS.name,
    otherwise: Remedy | None = LOOK,
) -> Verdict | None:
    found = facts.rows(probe, key)
    if not found:
        return None
    more = f" (and {len(found) - FEW} more)" if len(found) > FEW else ""
    cures = [row["cure"] for row in found if row.get("cure")]
    fields = {
        "what": "; ".join(words(row) for row in found[:FEW]) + more,
        "n": len(found),
        "cures": cures,
        "sql": ";  ".join(cures[:FEW]) + (";" if cures else ""),
    }
    return Verdict("certain", (probe,), fields, None if cures else otherwise)


def _logins(facts: Facts) -> Verdict | None:
    return _rows(facts, "logins", lambda row: f"{row['role']}: {row['why']}")


def _grants(facts: Facts) -> Verdict | None:
    return _rows(facts, "grants", lambda row: f"{row['privilege']} on {row['object']} of {row['role']}")


def _unreadable(facts: Facts) -> Verdict | None:
    found = facts.rows(RIGHTS.name, "unreadable")
    return Verdict("likely", (RIGHTS.name,), {"what": found[0]["words"]}) if found else None


def _functions(facts: Facts) -> Verdict | None:
    return _rows(facts, "gone", lambda row: str(row["object"]), otherwise=None)


def _replaced(facts: Facts) -> Verdict | None:
    """By what the watcher saw, or by the register of texts that `tenantry db push` keeps."""
    seen = _rows(facts, "replaced", lambda row: str(row["object"]), otherwise=None)
    if seen is not None:
        return seen
    found = [row for row in facts.rows(HOLES.name, "holes") if row["check"] == "replaced"]
    if not found:
        return None
    more = f" (and {len(found) - FEW} more)" if len(found) > FEW else ""
    return Verdict(
        "certain", (HOLES.name,), {"what": "; ".join(str(row["object"]) for row in found[:FEW]) + more}, PUSH_TEXTS
    )


def _holes(facts: Facts) -> Verdict | None:
    """What verify says, and no cause here has a name for; what lies on the same thing is mended with its own cause first."""
    named = {str(row["object"]).removeprefix("public.") for row in facts.rows(DEFECTS.name, "defects")}
    for key in ("grants", "owners", "policies", "closed", "gone", "replaced", "defaults"):
        named |= {str(row["object"]).removeprefix("public.") for row in facts.rows(RIGHTS.name, key)}
    rows = [
        row
        for row in facts.rows(HOLES.name, "holes")
        if row["check"] != "replaced" and str(row["object"]).removeprefix("public.") not in named
    ]
    if not rows:
        return None
    cures = [one.strip() for row in rows for one in str(row["cure"]).split(";") if one.strip()]
    fields = {
        "what": "; ".join(f"{row['object']}: {row['wrong']}" for row in rows[:FEW]),
        "cures": cures,
        "sql": "; ".join(cures[:FEW]) + ";",
    }
    can_run = all(one.startswith(("revoke ", "alter role ", "drop policy ")) and "\n" not in one for one in cures)
    return Verdict("certain", (HOLES.name,), fields, None if can_run else BY_HAND)


def _ring(facts: Facts) -> Verdict | None:
    return Verdict("certain", (RING.name,)) if facts.of(RING.name).get("is_empty") else None


def _tables(facts: Facts) -> Verdict | None:
    return _rows(facts, "tables", lambda row: str(row["object"]), otherwise=None)


def _risk(facts: Facts) -> Verdict | None:
    found = facts.rows(CONFIGURATION.name, "risky")
    if not found:
        return None
    fields = {
        "what": "; ".join(f"{row['name']} is {row['value']}: {row['why']}" for row in found),
        "names": [row["name"] for row in found],
        "sql": " ".join(f"alter system reset {row['name']};" for row in found) + " select pg_reload_conf();",
    }
    return Verdict("certain", (CONFIGURATION.name,), fields)


def _closed(facts: Facts) -> Verdict | None:
    return _rows(facts, "closed", lambda row: f"{row['policy']} on {row['object']}")


def _partial(facts: Facts) -> Verdict | None:
    """Who wrote the table may have meant it so; while calls fail it is worth a look."""
    errors = facts.table(LATELY.name, "errors") or facts.table(COUNTS.name, "errors")
    if not any(name.endswith("/server") for name in errors):
        return None
    found = _rows(facts, "partial", lambda row: f"{row['privileges']} on {row['object']}")
    return None if found is None else replace(found, confidence="likely", probes=(RIGHTS.name, LATELY.name))


def _owners(facts: Facts) -> Verdict | None:
    return _rows(facts, "owners", lambda row: f"{row['object']} belongs to {row['owner']}")


def _policies(facts: Facts) -> Verdict | None:
    return _rows(facts, "policies", lambda row: f"{row['policy']} on {row['object']}", otherwise=None)


def _defaults(facts: Facts) -> Verdict | None:
    return _rows(facts, "defaults", lambda row: str(row["object"]), otherwise=None)


def _triggers(facts: Facts) -> Verdict | None:
    return _rows(facts, "triggers", lambda row: f"{row['object']}: {row['names']}")


def _extension(facts: Facts) -> Verdict | None:
    return _rows(facts, "extensions", lambda row: str(row["object"]))


def _declared(facts: Facts) -> Verdict | None:
    """What else the catalogue says against isolation; role platform has a cause of its own."""
    rows = [
        d
        for d in facts.rows(DEFECTS.name, "defects")
        if d["check_id"] in DECLARED and (d["check_id"], d["object"]) != ("role", "platform")
    ]
    if not rows:
        return None
    cures = [str(d["cure"]).rstrip(";") for d in rows if str(d["cure"]).startswith(("alter ", "revoke "))]
    fields = {
        "what": "; ".join(f"{d['object']}: {d['detail']}" for d in rows[:FEW]),
        "cures": cures,
        "sql": "; ".join(str(d["cure"]) for d in rows[:FEW]),
    }
    return Verdict("certain", (DEFECTS.name,), fields, None if len(cures) == len(rows) else BY_HAND)


def _changed(facts: Facts) -> Verdict | None:
    return _rows(
        facts, "changed", lambda row: f"{row['name']} of {row['whose']} is {row['value']}" + (f", was made as {row['made']}" if row["made"] else ""),
        CONFIGURATION.name,
    )  # fmt: skip


def _server(facts: Facts) -> Verdict | None:
    found = facts.rows(CONFIGURATION.name, "server")
    if not found:
        return None
    names = [row["name"] for row in found]
    fields = {
        "what": "; ".join(f"{row['name']} is {row['value']}: {row['why']}" for row in found[:FEW]), "names": names,
        "sql": " ".join(f"alter system reset {name};" for name in names[:FEW]) + " select pg_reload_conf();",
    }  # fmt: skip
    return Verdict("certain", (CONFIGURATION.name,), fields)


def _standby(facts: Facts) -> Verdict | None:
    found = facts.table(CONFIGURATION.name, "outside")
    if not found.get("standbys") or found.get("listening"):
        return None
    return Verdict("certain", (CONFIGURATION.name,), {"standbys": found["standbys"]})


def _archiver(facts: Facts) -> Verdict | None:
    found = facts.table(CONFIGURATION.name, "outside")
    return (
        Verdict("certain", (CONFIGURATION.name,), {"n": found["failed"], "wal": found["failed_wal"]})
        if found.get("is_failing")
        else None
    )


def _too_many(facts: Facts) -> Verdict | None:
    """All pools full, the server could not hold them."""
    found = facts.of(CONFIGURATION.name)
    most, wanted = found.get("most"), found.get("wanted")
    room = (most or 0) - (found.get("reserved") or 0)
    if not most or not wanted or wanted <= room:
        return None
    return Verdict("likely", (CONFIGURATION.name,), {"wanted": wanted, "room": room, "most": most})


async def _unwait(place: Place, fields: Mapping[str, Any]) -> str:
    await hands.in_database(place, "alter system reset synchronous_standby_names")
    await hands.in_database(place, "select pg_catalog.pg_reload_conf()")
    return "alter system reset synchronous_standby_names; reloaded"


def _commits_alone(values: dict[str, Any]) -> bool:
    outside: dict[str, Any] = values.get("outside") or {}
    return not outside.get("standbys")


BY_HAND = Remedy("close-hole", "M", "{sql}", "owner", "Then: tenantry verify.", who="L2")
PUSH_AGAIN = Remedy(
    "push-again", "A", "tenantry db push", "owner", "Puts back what the register of policies has. Tell L2: somebody changed it.", hands.push,
    Verification(RIGHTS.name, "as it was made", _gone("policies", "defaults", "gone", "replaced"), 15.0), "L2",
)  # fmt: skip

PUSH_TEXTS = Remedy(
    "push-texts", "A", "tenantry db push", "owner", "Puts back the texts as the migrations made them. Tell L2: somebody changed them.", hands.push,
    Verification(HOLES.name, "no text is replaced", lambda v: not any(row["check"] == "replaced" for row in rows_of(v, "holes")), 15.0), "L2",
)  # fmt: skip

SECTION = Section(
    slug="rights-and-settings",
    title="Rights and Settings",
    symptoms=(r"permission denied", r"not permitted to log in", r"must be owner", r"statement timeout", r"canceling statement"),
    alerts=(),
    probes=(RIGHTS, CONFIGURATION, DEFECTS, HOLES, RING, LATELY),
    causes=(
        Cause("role-shut-out", "A role of Tenantry cannot sign in: {what}.", _logins, _again("let-role-in", ("logins",), "Find out who shut it out, and why."), SHUT_OUT),
        Cause(
            "isolation-open", "The catalogue says against isolation: {what}.", _declared,
            Remedy("close-isolation", "A", "{sql}", "superuser", "Then: tenantry verify --probe.", _cure,
                   Verification(DEFECTS.name, "no defects", lambda v: v.get("defects") == [], 15.0), "L2"),
            kind="rls_breach",
        ),
        Cause("grant-lost", "{n} grants were lost: {what}.", _grants, _again("grant-again", ("grants",), "Find out who revoked it."), CALLS),
        Cause("grant-lost-of-ops", "The doctor may not read what it should: {what}.", _unreadable,
              Remedy("grant-ops", "M", "tenantry db push; tenantry doctor --superuser-url URL", "superuser")),
        Cause("function-missing", "Functions of Tenantry are gone: {what}.", _functions, PUSH_AGAIN, CALLS),
        Cause("table-gone", "Tables that every installation has are gone, or have another name: {what}.", _tables,
              Remedy("bring-table-back", "M", "tenantry db diff   # then: alter table NAME rename to …, or tenantry backup restore", "owner", "A table that was renamed has its rows still; one that was dropped is in a backup.", who="L2"),
              CALLS | {"grant-lost", "function-replaced", "isolation-hole", "procedure-fails"}),
        Cause("events-cannot-be-written", "The ring of events has no row, as after a restore of the schema alone: whatever publishes fails.", _ring,
              Remedy("push-ring", "A", "tenantry db push", "owner", "", hands.push, Verification(RING.name, "it is there", lambda v: v.get("is_empty") is False, 15.0)),
              CALLS),
        Cause("function-replaced", "Functions of the seal were replaced, and no migration did it: {what}.", _replaced, PUSH_AGAIN, CALLS, kind="rls_breach"),
        Cause("policy-closed", "A restrictive policy that nobody declared lets no row through: {what}.", _closed,
              _again("drop-closed", ("closed",), "Find out who made it.")),
        Cause("privilege-missing", "Calls fail, and platform may not do all with a table: {what}.", _partial,
              _again("grant-privilege", ("partial",), "If whoever wrote the table did not mean it so."), frozenset({"procedure-fails"})),
        Cause("policy-altered", "Policies hold for another role or command than was declared: {what}.", _policies, PUSH_AGAIN, kind="rls_breach"),
        Cause("owner-changed", "Tables belong to somebody else: {what}.", _owners, _again("own-again", ("owners",), "The owner of a table may switch row security off.")),
        Cause(
            "isolation-hole", "Something speaks against isolation: {what}.", _holes,
            Remedy("close-found-hole", "A", "{sql}", "superuser", "Then: tenantry verify --probe.", _cure,
                   Verification(HOLES.name, "no hole", lambda v: v.get("holes") == [], 15.0), "L2"),
            kind="rls_breach",
        ),
        Cause("tenant-default-missing", "tenant_id has no default any more, so that inserts fail: {what}.", _defaults, PUSH_AGAIN, CALLS),
        Cause("trigger-disabled", "Triggers are switched off (foreign keys are triggers too): {what}.", _triggers,
              _again("enable-triggers", ("triggers",), "What was written meanwhile was not checked.")),
        Cause("standby-missing", "Every commit waits for a standby that does not listen ({standbys}).", _standby,
              Remedy("commit-alone", "A", "alter system reset synchronous_standby_names; select pg_reload_conf();", "superuser",
                     "Or bring the standby back: without it a lost disk loses commits.", _unwait,
                     Verification(CONFIGURATION.name, "no commit waits", _commits_alone, 10.0), "DB"),
              CALLS | {"statement-runs-long", "pool-busy", "transactions-left-open"}),
        Cause("setting-changed", "Settings of a role or of the database were changed: {what}.", _changed,
              _again("set-again", ("changed",), "It counts for new connections: tenantry reload.", CONFIGURATION.name), CALLS),
        Cause("server-setting-harmful", "The server is set so that it does harm: {what}.", _server,
              Remedy("reset-server-setting", "A", "{sql}", "superuser", "If postgresql.conf sets it, change it there.", _reset,
                     Verification(CONFIGURATION.name, "nothing that does harm", _gone("server"), 10.0), "DB")),
        Cause("extension-gone", "The extension {what} is loaded, and not made in this database: nobody counts statements.", _extension,
              _again("make-extension", ("extensions",), "")),
        Cause("durability-off", "The server is set so that a crash breaks data: {what}.", _risk,
              Remedy("make-durable", "A", "{sql}", "superuser", "If postgresql.conf sets it, change it there. After a crash meanwhile: tenantry doctor --deep.", _reset,
                     Verification(CONFIGURATION.name, "as it should be", _gone("risky"), 10.0), "DB")),
        Cause("archiving-fails", "Archiving of the write-ahead log fails ({n} times, last {wal}): it fills the disk.", _archiver,
              Remedy("look-at-archiving", "M", "select * from pg_stat_archiver;   -- and the server's log", "superuser", who="DB")),
        Cause("pools-exceed-server", "The pools may want {wanted} connections, and the server has room for {room} (max_connections {most}).", _too_many,
              Remedy("shrink-pools", "M", "TENANTRY_WORKERS x (TENANTRY_POOL_SIZE + TENANTRY_AUTH_POOL_SIZE + 1) below max_connections, or PgBouncer", "none")),
    ),
    prose=(
        "What `tenantry db push` made is kept in a register, and compared here: grants on Tenantry's own tables, owners, policies with their roles and commands, "
        "triggers, settings of the roles. What a builder takes away from platform on an application's table on purpose is not reported, unless nothing is left."
    ),
)  # fmt: skip

"""The server and the database beside its tables: replication, extensions, large objects, the vault (V23 to V31, V44)."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.tenancy.verify.checks import found
from tenantry.tenancy.verify.facts import Facts, Thing
from tenantry.tenancy.verify.report import Finding, Level
from tenantry.tenancy.verify.subject import identifier

READS_AROUND = frozenset(
    [
        "dblink",
        "postgres_fdw",
        "file_fdw",
        "pageinspect",
        "pg_surgery",
        "adminpack",
        "pg_walinspect",
        "pg_logicalinspect",
        "mysql_fdw",
        "oracle_fdw",
        "tds_fdw",
        "http",
        "pg_net",
        "pg_cron",
        "plpython3u",
        "plperlu",
        "pltclu",
    ]
)
"""Extensions that reach tables, files or networks around row security."""
FIXED = {15: 150014, 16: 160010, 17: 170006}
"""The first minor version of each major with the fixes of CVE-2024-10976 and CVE-2025-8713."""


def judge(facts: Facts) -> Iterator[Finding]:
    """Every thing that the server has."""
    level: Level | None = None if facts.subject.is_tenantry else "note"
    allowed = (
        set[str]() if facts.registry is None else {f"{one.kind} {one.name}" for one in facts.registry.replications}
    )
    for thing in facts.server:
        match thing.kind:
            case "version" if not is_fixed(int(thing.name)):
                yield found("V31", "server", thing.detail, "this minor version lacks fixes of row security",
                            f"-- Install the newest minor version of PostgreSQL {int(thing.name) // 10000}; data stays as it is.")  # fmt: skip
            case "publication" if f"publication {thing.name}" not in allowed:
                yield found(
                    "V24",
                    "publication",
                    thing.name,
                    f"it carries {thing.detail}",
                    _listed("publication", thing, facts, f"drop publication {identifier(thing.name)};"),
                    level=level,
                )
            case "replicating role" if f"role {thing.name}" not in allowed:
                yield found(
                    "V25",
                    "role",
                    thing.name,
                    "it may replicate",
                    _listed("role", thing, facts, f"alter role {identifier(thing.name)} noreplication;"),
                    level=level,
                )
            case "replication slot" if facts.subject.is_tenantry:
                yield found(
                    "V44",
                    "replication slot",
                    thing.name,
                    "a logical slot of this database",
                    f"select pg_catalog.pg_drop_replication_slot('{thing.name}');",
                )
            case "large objects":
                yield found("V27", "large objects", thing.name, f"{thing.name} large objects are in the database",
                            "-- Look whose they are first: select oid, lomowner::regrole from pg_largeobject_metadata;\n"
                            "select pg_catalog.lo_unlink(oid) from pg_catalog.pg_largeobject_metadata;", level=level)  # fmt: skip
            case "event trigger":
                yield found(
                    "V28",
                    "event trigger",
                    thing.name,
                    f"it belongs to {thing.detail}",
                    f"alter event trigger {identifier(thing.name)} disable;",
                    level=level,
                )
            case "extension" if thing.name in READS_AROUND:
                yield found(
                    "V23",
                    "extension",
                    thing.name,
                    "it reads around row security",
                    f"drop extension {identifier(thing.name)};",
                )
            case "vault grant" if thing.name != "tenantry_gate" and facts.subject.is_tenantry:
                yield found(
                    "V29",
                    "role",
                    thing.name,
                    f"it may {thing.detail.lower()} backtrace_functions, where the sealed context lies",
                    _revoke(thing),
                )
            case "vault value" if facts.subject.is_tenantry:
                yield found("V30", "server", "backtrace_functions", f"it has a value for the whole server: {thing.name}",
                            "alter system reset backtrace_functions;\nselect pg_catalog.pg_reload_conf();")  # fmt: skip
            case _:
                pass


def is_fixed(version: int) -> bool:
    """Whether this minor version has the fixes."""
    return version >= FIXED.get(version // 10000, 0 if version >= 180000 else 10**9)


def _listed(kind: str, thing: Thing, facts: Facts, cure: str) -> str:
    if not facts.subject.is_tenantry:
        return cure
    return f"{cure}\n-- Or, if it is wanted: insert into tenantry.allowed_replication (name, kind, why) values ('{thing.name}', '{kind}', '…');"


def _revoke(thing: Thing) -> str:
    grantee = "public" if thing.name == "public" else identifier(thing.name)
    return f"revoke {thing.detail.lower()} on parameter backtrace_functions from {grantee};"

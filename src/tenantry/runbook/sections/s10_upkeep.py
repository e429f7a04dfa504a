"""Upkeep of the database: what fills up, runs out or breaks slowly, and stops everything in the end."""

from __future__ import annotations

from tenantry.runbook.model import Cause, Facts, Remedy, Section, Verdict
from tenantry.runbook.probes.server import LOG, PROCESS
from tenantry.runbook.probes.upkeep import AGES, AMCHECK, SEQUENCES

XID_SHARE = 0.5
SEQUENCE_SHARE = 0.8
SLOT_BYTES = 1_000_000_000
LOW_BYTES = 500_000_000


def _corrupt(facts: Facts) -> Verdict | None:
    broken = facts.rows(AMCHECK.name, "broken")
    if broken:
        return Verdict(
            "certain", (AMCHECK.name, AGES.name), {"what": f"index {broken[0]['name']}: {broken[0]['words']}"}
        )
    failures = facts.of(AGES.name).get("checksum_failures") or 0
    if failures:
        return Verdict(
            "certain",
            (AGES.name,),
            {
                "what": f"{failures:.0f} pages whose checksum is wrong, the last at {facts.of(AGES.name).get('checksum_last')}"
            },
        )
    return None


def _wraparound(facts: Facts) -> Verdict | None:
    found = facts.of(AGES.name)
    share = max(found.get("xid_share") or 0.0, found.get("mxid_share") or 0.0)
    return Verdict("certain", (AGES.name,), {"share": f"{share:.0%}"}) if share > XID_SHARE else None


def _slot(facts: Facts) -> Verdict | None:
    found = [
        s
        for s in facts.rows(AGES.name, "slots")
        if (not s["active"] and (s["behind_bytes"] or 0) > SLOT_BYTES) or s["wal_status"] in ("unreserved", "lost")
    ]
    if not found:
        return None
    return Verdict(
        "certain", (AGES.name,), {"slot": found[0]["slot"], "gb": f"{(found[0]['behind_bytes'] or 0) / 1e9:.1f}"}
    )


def _unused_slot(facts: Facts) -> Verdict | None:
    """Before it is much: a standby that starts anew has such a slot for a moment, one that is gone for ever."""
    found = [
        s for s in facts.rows(AGES.name, "slots") if not s["active"] and s["wal_status"] in ("reserved", "extended")
    ]
    if not found or _slot(facts) is not None:
        return None
    fields = {"slot": found[0]["slot"], "mb": f"{(found[0]['behind_bytes'] or 0) / 1e6:.0f}", "n": len(found)}
    return Verdict("possible", (AGES.name,), fields)


def _collation(facts: Facts) -> Verdict | None:
    found = facts.of(AGES.name)
    then, now = found.get("collation_then"), found.get("collation_now")
    return Verdict("certain", (AGES.name,), {"then": then, "now": now}) if then and now and then != now else None


def _sequence(facts: Facts) -> Verdict | None:
    found = [s for s in facts.rows(SEQUENCES.name, "sequences") if (s["used"] or 0) > SEQUENCE_SHARE]
    return (
        Verdict("certain", (SEQUENCES.name,), {"name": found[0]["sequence"], "share": f"{found[0]['used']:.0%}"})
        if found
        else None
    )


def _disk(facts: Facts) -> Verdict | None:
    free = facts.of(PROCESS.name).get("free_bytes")
    if free is None or free >= LOW_BYTES or facts.of(LOG.name).get("disk_full"):
        return None
    return Verdict("certain", (PROCESS.name,), {"free": f"{free // 1_000_000} MB"})


SECTION = Section(
    slug="database-upkeep",
    title="Database Upkeep",
    symptoms=(
        r"wraparound",
        r"corrupt",
        r"checksum",
        r"collation",
        r"no space left",
        r"disk",
        r"sequence",
        r"replication slot",
    ),
    alerts=(),
    probes=(AGES, SEQUENCES, PROCESS, LOG, AMCHECK),
    causes=(
        Cause(
            "corruption",
            "Data on disk are damaged: {what}.",
            _corrupt,
            Remedy(
                "restore",
                "M",
                "stop writing; copy the data directory; then restore the last proven backup",
                "superuser",
                "An incident of kind corruption: level 2 is paged with level 1. Never zero_damaged_pages first.",
                who="L2",
            ),
            kind="corruption",
        ),
        Cause(
            "wraparound-near",
            "{share} of the transaction ids are used up before the oldest row was frozen.",
            _wraparound,
            Remedy(
                "freeze",
                "M",
                "vacuumdb --all --freeze --jobs 2",
                "superuser",
                "Find what holds it up: old transactions, replication slots, prepared transactions.",
                who="DB",
            ),
        ),
        Cause(
            "slot-holds-wal",
            "Replication slot {slot} is not read, and holds {gb} GB of write-ahead log: it fills the disk.",
            _slot,
            Remedy(
                "drop-slot",
                "M",
                "select pg_drop_replication_slot('{slot}');",
                "superuser",
                "If nobody will read it again; else bring its reader back.",
                who="DB",
            ),
            frozenset({"disk-low"}),
        ),
        Cause(
            "slot-unused",
            "Nobody reads replication slot {slot}; it holds {mb} MB of write-ahead log, and goes on.",
            _unused_slot,
            Remedy(
                "drop-unused-slot",
                "M",
                "select pg_drop_replication_slot('{slot}');",
                "superuser",
                "If nobody will read it again.",
                who="DB",
            ),
        ),
        Cause(
            "disk-low",
            "The disk of the database has {free} left.",
            _disk,
            Remedy("make-room", "M", "df -h; du -xh $PGDATA | sort -h | tail", "os", who="L2"),
        ),
        Cause(
            "collation-changed",
            "The system's collation is version {now}, the database's indexes were built with {then}: text may be in another order.",
            _collation,
            Remedy(
                "rebuild-indexes",
                "M",
                "reindex (concurrently) database platform; alter database platform refresh collation version;",
                "owner",
                "Unique indexes on text first.",
                who="DB",
            ),
        ),
        Cause(
            "sequence-near-end",
            "Sequence {name} has used {share} of its range.",
            _sequence,
            Remedy(
                "widen-sequence",
                "M",
                "alter table … alter column id type bigint;   -- alter sequence {name} as bigint",
                "owner",
                who="L2",
            ),
        ),
    ),
    prose="`amcheck` is on demand (`tenantry doctor database-upkeep --deep`): it reads whole indexes. Checksum failures are counted by the server itself.",
)

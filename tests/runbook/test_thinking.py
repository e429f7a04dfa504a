"""The doctor's reasoning, without I/O: what was seen in, findings out."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.runbook import chosen, sections
from tenantry.runbook.diagnose import think
from tenantry.runbook.model import Evidence, Seen
from tenantry.runbook.place import masked

WELL: dict[str, dict[str, Any]] = {
    "api-health": {"reached": True, "status": "healthy", "checks": {"database": "up"}, "messages": {}},
    "api-liveness": {"reached": True, "alive": True}, "ops-liveness": {"reached": True, "alive": True},
    "processes": {"serving": True}, "server-login": {"in": True}, "server-login-ops": {"in": True},
    "server-port": {"open": True, "answers": True}, "server-process": {"pid": 7, "status": "sleeping", "free_bytes": 10**11},
    "server-log": {}, "tenant-function": {"is_there": True, "may_run": True, "decoys": 0},
    "role-platform": {"is_there": True, "rolsuper": False, "rolbypassrls": False}, "isolation-defects": {"defects": []},
    "counts": {"violations": {}, "pool_size": 10.0, "pool_active": 1.0}, "server-connections": {"groups": []},
    "lock-waits": {"waits": []}, "idle-in-transaction": {"idle": []}, "settings": {"faults": []}, "dotenv": {"doubled": []},
    "auth-secret": {"is_set": True, "has_provider": True, "is_production": True}, "secret-age": {"seconds": 86_400.0, "has_previous": False}, "sessions": {"live": 5, "expired": 3, "oldest_expired": 60.0},
    "providers": {"providers": [{"id": "google", "up": True, "says": "invalid_grant", "skew_seconds": 0.4, "words": "up"}]},
    "statements": {"statements": [{"query": "report", "calls": 1.0, "mean_ms": 900.0, "ms": 900.0}]}, "long-statements": {"running": []},
    "indexes": {"tenant": [], "keys": [], "invalid": []}, "tables": {"tables": []}, "distance": {"trip_ms": 0.4, "skew_seconds": 0.0},
    "process-memory": {"processes": [{"pid": 9, "mb": 90.0}], "youngest": 500.0, "oldest": 500.0}, "pm2": {"status": "online", "restarts": 1, "uptime_seconds": 900.0},
    "watcher": {"serving": True, "lives": True, "late": False, "stuck": []}, "on-call": {"empty": []}, "heartbeat": {"is_set": True},
    "exported-rules": {"differ": [], "missing": []}, "commands": {"missing": []}, "pooler": {"waiting": 0, "longest": 0, "mode": "transaction"},
    "ages": {"xid_share": 0.1, "mxid_share": 0.0, "checksum_failures": 0.0, "collation_then": "1", "collation_now": "1", "slots": []},
    "sequences": {"sequences": [{"sequence": "s", "used": 0.1}]}, "pg-hba": {"bad": []}, "amcheck": {"broken": []},
}  # fmt: skip


def causes(**over: dict[str, Any]) -> list[str]:
    facts = {**WELL, **{name.replace("_", "-"): values for name, values in over.items()}}
    seen = {name: Seen(name, "ok", values, "", Evidence(name, "", "", "", 0.0)) for name, values in facts.items()}
    return [finding.cause for finding in think(sections(), seen)]


def test_a_healthy_installation_has_no_cause():
    assert causes() == []


DOWN = {"reached": True, "status": "unhealthy", "checks": {"database": "down"}, "messages": {"database": "No answer"}}
NOT_IN = {"in": False, "sqlstate": "", "words": ""}


SLOW = {
    "rate": 20.0, "p95_ms": 1500.0, "server_errors": 0.0, "violations": {},
    "procedures": [{"path": "notes.add", "rate": 20.0, "p95_ms": 1500.0, "errors": 4.0, "load": 9.0}],
}  # fmt: skip
FAILING = {
    **SLOW,
    "p95_ms": 20.0,
    "rate": 40.0,
    "server_errors": 4.0,
    "errors": {"notes.add/INTERNAL_SERVER_ERROR/server": 9.0},
}
STRONG = {
    "pid": 9,
    "usename": "platform",
    "state": "idle in transaction",
    "query": "lock table notes",
    "table_name": "notes",
    "age": 4.0,
}
TABLE = {
    "table_name": "notes", "live": 40000, "dead": 0, "changed": 0, "analyzed_ago": 5.0, "vacuumed_ago": 5.0, "is_left_alone": False, "seq_scans": 0,
    "rows_a_scan": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("over", "first"),
    [
        ({"api_health": {"reached": False, "why": "refused"}, "processes": {"serving": False}}, "api-gone"),
        ({"ops_liveness": {"reached": True, "alive": False}, "api_health": {"reached": False, "why": "silent"}}, "loop-blocked"),
        ({"api_health": DOWN}, "api-has-stale-connections"),
        ({"server_port": {"why": "refused", "port": 5432}, "server_login": NOT_IN, "server_login_ops": NOT_IN, "server_process": {"pid": None}, "api_health": DOWN}, "server-not-running"),
        ({"server_port": {"why": "silent"}, "server_login": NOT_IN, "server_login_ops": NOT_IN, "server_process": {"stopped": True, "pid": 7}, "api_health": DOWN}, "server-silent"),
        ({"server_login": {"in": False, "sqlstate": "57P03", "words": "starting up"}, "api_health": DOWN}, "server-recovering"),
        ({"server_login": {"in": False, "sqlstate": "28000", "words": "pg_hba"}, "api_health": DOWN}, "server-refuses-us"),
        ({"server_login": {"in": False, "sqlstate": "53300", "words": "too many"}, "api_health": DOWN}, "server-full"),
        ({"tenant_function": {"is_there": False, "may_run": False, "decoys": 1}}, "tenant-function-missing"),
        ({"tenant_function": {"is_there": True, "may_run": False, "decoys": 0}}, "tenant-function-grant-lost"),
        ({"role_platform": {"is_there": True, "rolbypassrls": True}}, "role-bypasses-rls"),
        ({"isolation_defects": {"defects": [{"check_id": "row-security", "object": "users", "detail": "", "cure": ""}]}}, "rls-off"),
        ({"isolation_defects": {"defects": [{"check_id": "policy-missing", "object": "notes", "detail": "gone", "cure": ""}]}}, "policy-missing"),
        ({"counts": {"violations": {"notes/insert": 11.0}}}, "rows-refused"),
        ({"idle_in_transaction": {"idle": [{"pid": 1, "usename": "platform", "application_name": "", "idle": 400.0, "query": "q"}]}}, "transactions-left-open"),
        ({"lock_waits": {"waits": [{"waiter": 1, "blocker": 2, "usename": "platform", "application_name": "", "state": "active", "query": "q", "age": 9.0, "waited": 8.0}]}}, "lock-blocker"),
        ({"settings": {"faults": [{"name": "PORT", "why": "is 'x'", "cure": "Give a number."}]}, "api_health": {"reached": False, "why": "refused"}}, "settings-faulty"),
        ({"server_port": {"why": "reset"}, "server_login": NOT_IN, "server_login_ops": NOT_IN, "api_health": DOWN}, "server-cut-off"),
        ({"server_login": {**NOT_IN, "silent": True}, "server_login_ops": {**NOT_IN, "silent": True}, "api_health": DOWN}, "server-no-reply"),
        ({"server_port": {"why": "refused", "port": 5432}, "server_login": NOT_IN, "server_process": {}, "api_health": DOWN}, "server-not-running"),
        ({"server_port": {"why": "refused", "port": 5499}, "server_login": NOT_IN, "api_health": DOWN}, "server-elsewhere"),
        ({"server_port": {"why": "unknown host"}, "server_login": NOT_IN, "api_health": DOWN}, "host-unknown"),
        ({"server_process": {"pid": 7, "stopped_children": [8]}}, "backend-stopped"),
        ({"server_login": {"in": False, "sqlstate": "55000", "words": "not currently accepting"}, "api_health": DOWN}, "server-refuses-us"),
        ({"server_connections": {"groups": [], "most": 100, "used": 95, "reserved": 3}}, "server-nearly-full"),
        ({"server_connections": {"groups": [], "read_only": "on"}}, "database-read-only"),
        ({"distance": {"trip_ms": 121.0, "skew_seconds": 0.0}, "server_port": {"open": True, "answers": True, "ms": 240.0}, "counts": SLOW}, "network-slow"),
        ({"distance": {"trip_ms": 1.0, "skew_seconds": 7200.0}}, "clock-differs"),
        ({"auth_secret": {"is_set": False, "has_provider": True, "is_production": True}}, "auth-secret-missing"),
        ({"auth_secret": {"is_set": True, "differs": True, "workers": 2}}, "auth-secret-differs"),
        ({"secret_age": {"seconds": None, "has_previous": False}, "api_health": {"reached": True, "status": "healthy", "uptime_seconds": 90.0, "checks": {"database": "up"}}}, "auth-secret-not-loaded"),
        ({"isolation_holes": {"holes": [{"check": "privilege", "object": "public.users", "wrong": "platform may truncate", "cure": "revoke truncate on public.users from platform;"}]}}, "isolation-hole"),
        ({"event_ring": {"is_empty": True}}, "events-cannot-be-written"),
        ({"configuration": {"risky": [{"name": "fsync", "value": "off", "why": "a crash breaks the database"}]}}, "durability-off"),
        ({"isolation_defects": {"defects": [{"check_id": "policy-unknown", "object": "notes", "detail": "p opens rows", "cure": ""}]}}, "policy-unknown"),
        ({"secret_age": {"seconds": 91 * 86_400.0, "has_previous": False}}, "auth-secret-old"),
        ({"secret_age": {"seconds": 2 * 86_400.0, "has_previous": True}}, "auth-secret-previous"),
        ({"dotenv": {"doubled": [{"name": "AUTH_SECRET", "lines": [3, 9], "differ": True}]}}, "auth-secret-doubled"),
        ({"dotenv": {"doubled": [{"name": "PORT", "lines": [1, 2], "differ": True}]}}, "setting-doubled"),
        ({"providers": {"providers": [{"id": "google", "up": False, "words": "no answer"}]}}, "provider-down"),
        ({"providers": {"providers": [{"id": "google", "up": True, "says": "invalid_client", "words": ""}]}}, "provider-client-wrong"),
        ({"sessions": {"live": 1, "expired": 4000, "oldest_expired": 9e5}}, "sessions-not-purged"),
        ({"counts": SLOW, "statements": {"statements": []}}, "procedure-slow"),
        ({"counts": SLOW, "statements": {"statements": [{"query": "q", "calls": 20.0, "mean_ms": 700.0, "ms": 14000.0}]}}, "statement-slow"),
        ({"counts": SLOW, "indexes": {"tenant": [{"table_name": "notes", "column_name": "tenant_id", "rows": 1e6}], "keys": [], "invalid": []}}, "tenant-index-missing"),
        ({"indexes": {"tenant": [], "keys": [], "invalid": [{"index_name": "i", "table_name": "notes"}]}}, "index-invalid"),
        ({"tables": {"tables": [{**TABLE, "changed": 30000, "is_left_alone": True}]}}, "statistics-stale"),
        ({"long_statements": {"running": [{"pid": 5, "query": "q", "waits_for": "", "seconds": 40.0}]}}, "statement-runs-long"),
        ({"counts": {**SLOW, "p95_ms": 20.0, "rate": 40.0, "server_errors": 4.0, "errors": {"notes.add/INTERNAL_SERVER_ERROR/server": 9.0}}}, "procedure-fails"),
        ({"counts": {"memory": 0.86}}, "memory-nearly-full"),
        ({"pm2": {"status": "waiting restart", "restarts": 9, "exit_code": 1}, "api_health": {"reached": False, "why": "refused"}}, "crash-loop"),
        ({"process_memory": {"processes": [], "youngest": 20.0, "oldest": 900.0}, "counts": {"restarts": 1.0}}, "workers-replaced"),
        ({"watcher": {"serving": True, "late": True, "stopped": True, "pid": 4, "written_ago": 400.0}}, "watcher-silent"),
        ({"watcher": {"serving": True, "late": False, "stuck": [{"channel": "json://…", "tries": 4, "title": ""}]}}, "channel-failing"),
        ({"heartbeat": {"is_set": False}}, "heartbeat-missing"),
        ({"on_call": {"empty": ["L3"]}}, "level-empty"),
        ({"pooler": {"waiting": 4, "longest": 7, "mode": "transaction"}}, "pooler-full"),
        ({"ages": {"checksum_failures": 2.0, "checksum_last": "now"}}, "corruption"),
        ({"ages": {"xid_share": 0.7}}, "wraparound-near"),
        ({"ages": {"slots": [{"slot": "old", "active": False, "behind_bytes": 5e9, "wal_status": "extended"}]}}, "slot-holds-wal"),
        ({"ages": {"collation_then": "2.31", "collation_now": "2.36"}}, "collation-changed"),
        ({"sequences": {"sequences": [{"sequence": "public.s", "used": 0.95}]}}, "sequence-near-end"),
        ({"server_process": {"pid": 7, "free_bytes": 10**8}}, "disk-low"),
        ({"processes": {"serving": True, "stopped": [{"role": "worker", "pid": 5}]}, "ops_liveness": {"reached": True, "alive": False}}, "process-stopped"),
        ({"api_health": {**DOWN, "status": "degraded", "checks": {"database": "up", "migrations": "degraded"}}}, "migrations-differ"),
        ({"api_health": {"reached": True, "http": 404, "status": None, "checks": {}}}, "api-is-another"),
        ({"server_login_auth": {"in": False, "sqlstate": "28P01", "words": "password"}}, "login-refused"),
        ({"server_login": {"in": False, "sqlstate": "08P01", "words": "certificate verify failed"}, "api_health": DOWN}, "server-refuses-us"),
        ({"server_login": {"in": False, "sqlstate": "53300", "words": "too many connections for database"}, "api_health": DOWN}, "server-full"),
        ({"server_connections": {"groups": [], "most": 100, "used": 5, "role_limit": 5, "role_used": 5}}, "server-nearly-full"),
        ({"server_connections": {"groups": [], "role_read_only": True}}, "database-read-only"),
        ({"lock_waits": {"waits": [{"waiter": 1, "blocker": 0, "age": None, "waited": 2.0}], "strong": [], "prepared": [{"gid": "g", "owner": "o", "age": 5.0, "tables": 1}]}}, "prepared-transaction-left"),
        ({"lock_waits": {"waits": [], "strong": [{**STRONG, "age": 40.0}], "prepared": []}, "counts": SLOW}, "lock-blocker"),
        ({"lock_waits": {"waits": [], "strong": [STRONG], "prepared": []}, "counts": FAILING}, "lock-blocker"),
        ({"configuration": {"outside": {"standbys": "ghost", "listening": 0}}, "counts": SLOW}, "standby-missing"),
        ({"configuration": {"outside": {"is_failing": True, "failed": 3, "failed_wal": "0001"}}}, "archiving-fails"),
        ({"configuration": {"most": 20, "reserved": 3, "wanted": 52}}, "pools-exceed-server"),
        ({"rights": {"logins": [{"role": "platform", "why": "NOLOGIN", "cure": "alter role platform login"}]}, "server_login": {"in": False, "sqlstate": "28000", "words": "is not permitted to log in"}, "api_health": DOWN}, "role-shut-out"),
        ({"rights": {"grants": [{"object": "schema public", "role": "platform", "privilege": "usage", "cure": "grant"}]}, "counts": FAILING}, "grant-lost"),
        ({"ages": {"slots": [{"slot": "old", "active": False, "behind_bytes": 1e6, "wal_status": "reserved"}]}}, "slot-unused"),
        ({"counts": {"rate": 1.0, "server_errors": 0.0, "requests": 60.0, "errors": {"notes.add/INTERNAL_SERVER_ERROR/server": 9.0}}}, "procedure-fails"),
    ],
)  # fmt: skip
def test_each_fault_is_named_first(over: dict[str, dict[str, Any]], first: str):
    found = causes(**over)
    assert found[0] == first


def test_what_is_over_is_no_cause():
    """Counts of before, a lock of a moment, a prepared transaction that is being committed, a slot that is read."""
    assert causes(counts={"violations": {}, "errors": {}, "rate": 5.0, "server_errors": 0.0, "requests": 300.0}) == []
    assert (
        causes(
            lock_waits={
                "waits": [],
                "strong": [STRONG],
                "prepared": [{"gid": "g", "owner": "o", "age": 2.0, "tables": 1}],
            }
        )
        == []
    )
    assert causes(ages={"slots": [{"slot": "s", "active": True, "behind_bytes": 1e6, "wal_status": "reserved"}]}) == []
    assert (
        causes(
            configuration={"outside": {"standbys": "there", "listening": 1}, "most": 100, "reserved": 3, "wanted": 97}
        )
        == []
    )


def test_what_another_cause_explains_comes_after_it():
    found = causes(
        server_port={"why": "refused", "port": 5432},
        server_login=NOT_IN,
        server_login_ops={"in": True},
        server_process={"pid": None},
        api_health=DOWN,
    )
    assert found[0] == "server-not-running"


def test_a_slow_machine_is_no_cause():
    assert causes(server_port={"why": "silent"}, api_liveness={"reached": False, "why": "silent"}) == []


def test_a_busy_system_is_no_cause():
    """Slow reports, growing tables, a lock that is waited for a moment, a full pool of quick statements for a moment."""
    assert causes(
        statements={"statements": [{"query": "report", "calls": 30.0, "mean_ms": 900.0, "ms": 27000.0}]},
        tables={"tables": [{**TABLE, "changed": 30000, "dead": 30000, "seq_scans": 90, "rows_a_scan": 40000}]},
        distance={"trip_ms": 80.0, "skew_seconds": 0.4},
        lock_waits={"waits": [{"waiter": 1, "blocker": 2, "usename": "platform", "application_name": "", "state": "active", "query": "q", "age": 1.0, "waited": 0.9}]},
    ) == []  # fmt: skip


def test_what_cannot_be_had_makes_a_remedy_manual():
    seen = {
        n: Seen(n, "ok", v, "", Evidence(n, "", "", "", 0.0))
        for n, v in {**WELL, "role-platform": {"rolbypassrls": True}}.items()
    }
    without = think(sections(), seen, {"superuser": False})[0].remedy
    given = think(sections(), seen, {"superuser": True})[0].remedy
    assert without is not None
    assert given is not None
    assert (without.kind, given.kind) == ("M", "A")


def test_sections_are_found_by_alert_symptom_and_name():
    assert [s.slug for s in chosen(sections(), alert="databaseunavailable")] == ["database-connection-issues"]
    assert [s.slug for s in chosen(sections(), symptom="Error: connect ECONNREFUSED 127.0.0.1:5432")] == [
        "database-connection-issues"
    ]
    assert [
        s.slug for s in chosen(sections(), symptom='new row violates row-level security policy for table "users"')
    ] == ["rls-policy-violations"]
    assert [s.slug for s in chosen(sections(), symptom="Error: Connection pool is full")] == [
        "connection-pool-exhaustion"
    ]
    with pytest.raises(LookupError):
        chosen(sections(), symptom="the coffee is cold")


def test_every_cause_has_a_name_of_its_own_and_every_probe_too():
    ids = [cause.id for section in sections() for cause in section.causes]
    assert len(ids) == len(set(ids))
    probes = {probe.name: probe for section in sections() for probe in section.probes}
    for section in sections():
        for probe in section.probes:
            assert probes[probe.name] is probe
        for cause in section.causes:
            if cause.remedy is not None and cause.remedy.verification is not None:
                assert cause.remedy.verification.probe in {p.name for p in section.probes}


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://platform:hush@db/x",
        "password=hush",
        "Authorization: Bearer hush",
        "AUTH_SECRET=hush",
        "api_key: hush",
    ],
)
def test_evidence_holds_no_secret(text: str):
    assert "hush" not in masked(f"a {text} b")

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
    "lock-waits": {"waits": []}, "idle-in-transaction": {"idle": []},
}  # fmt: skip


def causes(**over: dict[str, Any]) -> list[str]:
    facts = {**WELL, **{name.replace("_", "-"): values for name, values in over.items()}}
    seen = {name: Seen(name, "ok", values, "", Evidence(name, "", "", "", 0.0)) for name, values in facts.items()}
    return [finding.cause for finding in think(sections(), seen)]


def test_a_healthy_installation_has_no_cause():
    assert causes() == []


DOWN = {"reached": True, "status": "unhealthy", "checks": {"database": "down"}, "messages": {"database": "No answer"}}
NOT_IN = {"in": False, "sqlstate": "", "words": ""}


@pytest.mark.parametrize(
    ("over", "first"),
    [
        ({"api_health": {"reached": False, "why": "refused"}, "processes": {"serving": False}}, "api-gone"),
        ({"ops_liveness": {"reached": True, "alive": False}, "api_health": {"reached": False, "why": "silent"}}, "loop-blocked"),
        ({"api_health": DOWN}, "api-has-stale-connections"),
        ({"server_port": {"why": "refused", "port": 5432}, "server_login": NOT_IN, "server_login_ops": NOT_IN, "api_health": DOWN}, "server-not-running"),
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
    ],
)  # fmt: skip
def test_each_fault_is_named_first(over: dict[str, dict[str, Any]], first: str):
    found = causes(**over)
    assert found[0] == first


def test_what_another_cause_explains_comes_after_it():
    found = causes(
        server_port={"why": "refused", "port": 5432},
        server_login=NOT_IN,
        server_login_ops={"in": True},
        api_health=DOWN,
    )
    assert found[0] == "server-not-running"


def test_a_slow_machine_is_no_cause():
    assert causes(server_port={"why": "silent"}, api_liveness={"reached": False, "why": "silent"}) == []


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

"""The list of checks: number, name, how bad, and what an attacker gets. The page docs/guides/verify.md is this list."""

from __future__ import annotations

from msgspec import Struct

from tenantry.tenancy.verify.report import Finding, Level


class Check(Struct, frozen=True):
    """One pitfall."""

    name: str
    level: Level
    gain: str


EVERYTHING = "Reads and writes the rows of every tenant."

CHECKS = {
    "V01": Check("row-security", "hole", EVERYTHING),
    "V02": Check("tenant-column", "hole", "Rows that belong to no tenant, or to another than was meant."),
    "V03": Check("policy-missing", "hole", "Nothing: rows are invisible, and the application fails instead."),
    "V04": Check(
        "policy-unknown", "hole", "Permissive policies are OR-ed: rows of every tenant that this one lets through."
    ),
    "V05": Check("role", "hole", EVERYTHING),
    "V06": Check("owner", "hole", "An owner may switch row security off, drop policies and truncate."),
    "V07": Check("member", "hole", "SET ROLE takes the other role's rights."),
    "V08": Check(
        "create", "leak", "A temporary table or an own schema catches what the next tenant on the back end writes."
    ),
    "V09": Check("view", "hole", "The view reads with its owner's rights: rows of every tenant."),
    "V10": Check("no-row-security", "hole", "Row security does not exist there: rows of every tenant."),
    "V11": Check(
        "definer", "hole", "Runs with its owner's rights: rows of every tenant, if its text lets them through."
    ),
    "V12": Check(
        "definer-path", "hole", "A function or operator of the caller's, found first, runs with the owner's rights."
    ),
    "V13": Check(
        "definer-immutable", "leak", "Its result is folded into plans, and debug_print_plan prints plans to the caller."
    ),
    "V14": Check(
        "foreign-key",
        "leak",
        "Links a row to another tenant's, learns which ids exist there, and has them deleted by cascade.",
    ),
    "V15": Check(
        "unique-key", "leak", "Error 23505 tells that a value exists in another tenant, and keeps it from being used."
    ),
    "V16": Check("tenant-index", "note", "Slow statements: every tenant's rows are read to find one's own."),
    "V17": Check("index-order", "note", "Slow statements: the index is not used together with the policy."),
    "V18": Check("privilege", "hole", "TRUNCATE ignores row security; REFERENCES and TRIGGER see every row."),
    "V19": Check("sequence", "leak", "The last value tells how many rows all tenants have made."),
    "V20": Check("partition", "hole", "The parent's policies do not guard a partition that is asked directly."),
    "V21": Check("escape", "leak", "Reaches out of the transaction from inside one SELECT."),
    "V22": Check("language", "leak", "A DO block runs SQL out of text, whatever the driver lets through."),
    "V23": Check("extension", "leak", "Reads tables or files around row security."),
    "V24": Check("publication", "leak", "Whoever subscribes receives the rows of every tenant."),
    "V25": Check("replication", "leak", "Streams the rows of every tenant."),
    "V26": Check("role-setting", "leak", "A stored setting outlives its session, and changes what later ones mean."),
    "V27": Check("large-objects", "leak", "Large objects have no row security."),
    "V28": Check("event-trigger", "leak", "Runs with the rights of whoever changes the schema."),
    "V29": Check("vault-grant", "hole", "Whoever may set the vault may claim any tenant."),
    "V30": Check("vault-value", "leak", "A value stands where none should: statements without a tenant fail noisily."),
    "V31": Check("version", "leak", "Known faults of row security: CVE-2024-10976, CVE-2025-8713 and older ones."),
    "V32": Check("trigger-definer", "leak", "The trigger sees and writes rows with its owner's rights."),
    "V33": Check("monitor", "leak", "Reads other sessions' statements, or everything, or ends sessions."),
    "V34": Check("unprotected", "hole", EVERYTHING),
    "V35": Check("policy-changed", "hole", "What the changed policy lets through."),
    "V36": Check(
        "leakproof", "leak", "A function that is called leakproof sees rows before the policy has judged them."
    ),
    "V37": Check("log", "leak", "Session tokens are bind values: they would stand in the server's log."),
    "V38": Check("rule", "leak", "A rule's statements run with the table owner's rights."),
    "V39": Check("default-privileges", "leak", "Tables that are made later are open from the start."),
    "V40": Check(
        "policy-per-row", "note", "Slow statements: the function runs once a row instead of once a statement."
    ),
    "V41": Check("grant", "hole", "Sessions, people and settings of every tenant."),
    "V42": Check("role-maker", "hole", "Makes itself other roles."),
    "V43": Check("shared-writable", "leak", "Changes what all tenants read."),
    "V44": Check("slot", "leak", "A logical slot keeps the changes of every tenant for whoever may read it."),
    "V45": Check(
        "replaced", "hole", "What the changed function lets through: one that names the tenant opens every table."
    ),
}


def found(
    check: str, kind: str, thing: str, wrong: str, remedy: str, *, level: Level | None = None, gain: str | None = None
) -> Finding:
    """A finding of this check."""
    known = CHECKS[check]
    return Finding(
        check=check, name=known.name, level=level or known.level, kind=kind, object=thing, wrong=wrong,
        gain=known.gain if gain is None else gain, remedy=remedy,
    )  # fmt: skip

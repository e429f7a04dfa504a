"""Functions and triggers: whose rights they run with, and what they could be made to do (V11, V12, V13, V21, V32, V36, V45)."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.tenancy.verify.checks import found
from tenantry.tenancy.verify.facts import Facts, Function
from tenantry.tenancy.verify.families.policies import asks, bound_functions
from tenantry.tenancy.verify.report import Finding
from tenantry.tenancy.verify.subject import identifier

QUALIFIED = ("tenantry.enter(", "public.get_current_tenant_id(", "tenantry.user_id(", "tenantry.role(")
"""Run at every request: they qualify every name and operator instead of a search_path, which costs 2 us a call."""


def judge(facts: Facts) -> Iterator[Finding]:
    """Every function, every trigger."""
    allowed = set[str]() if facts.registry is None else {one.name for one in facts.registry.definers}
    bound = frozenset[str]() if facts.registry is not None else bound_functions(facts)
    for one in facts.functions:
        if one.is_definer:
            yield from _definer(facts, one, allowed, bound)
        if one.is_leakproof:
            yield found(
                "V36", "function", one.name, "it is marked leakproof", f"alter function {one.name} not leakproof;"
            )
    if facts.registry is not None:
        yield from _replaced(facts)
    if not facts.is_unbound:
        yield from _escapes(facts)
    tenants = {one.oid for one in facts.relations if facts.is_tenants(one)}
    for trigger in facts.triggers:
        name = f"{trigger.function_name}()"
        if trigger.relation in tenants and trigger.is_definer and trigger.is_enabled and name not in allowed:
            yield found("V32", "trigger", f"{trigger.name} on {trigger.relation_name}", f"{name} runs with the rights of {trigger.owner}",
                        f"alter function {name} security invoker;")  # fmt: skip


def _replaced(facts: Facts) -> Iterator[Finding]:
    if facts.replaced is None:
        yield found("V45", "table", "tenantry.fingerprints", "it is not there, so that a replaced function would not be found",
                    "-- Run: tenantry db push", level="note")  # fmt: skip
    for one in facts.replaced or ():
        yield found("V45", one.kind, one.name, one.wrong, one.cure or "-- Run: tenantry db push")


def is_reader_asked(facts: Facts, one: Function, bound: frozenset[str]) -> bool:
    """A definer function that asks for the setting: whether it filters by it, a reader must say."""
    return one.is_definer and one.is_reachable and asks(one.source, facts.subject.setting or "", bound)


def _definer(facts: Facts, one: Function, allowed: set[str], bound: frozenset[str]) -> Iterator[Finding]:
    word = "procedure" if one.kind == "p" else "function"
    role = identifier(facts.subject.role)
    if one.is_reachable and not one.is_trigger and not facts.is_unbound:
        if facts.registry is not None and one.name not in allowed:
            yield found("V11", word, one.name, f"it runs with the rights of {one.owner}, and no reason is listed",
                        f"revoke execute on {word} {one.name} from public, {role};\n"
                        "-- or, with a reason: insert into tenantry.allowed_definer (function, why) values (…);")  # fmt: skip
        elif facts.registry is None and not is_reader_asked(facts, one, bound):
            yield found("V11", word, one.name, f"it runs with the rights of {one.owner} and never asks for {facts.subject.setting}",
                        f"revoke execute on {word} {one.name} from public, {role};")  # fmt: skip
    if not one.has_search_path and not (facts.registry is not None and one.name.startswith(QUALIFIED)):
        yield found("V12", word, one.name, f"it runs with the rights of {one.owner} and with the caller's search_path",
                    f"alter {word} {one.name} set search_path = {identifier(one.schema)}, pg_temp;")  # fmt: skip
    if one.volatility == "i":
        yield found(
            "V13",
            word,
            one.name,
            "it is immutable: its result becomes a constant of the plan",
            f"alter function {one.name} stable;",
        )


def _escapes(facts: Facts) -> Iterator[Finding]:
    role = identifier(facts.subject.role)
    if facts.subject.is_tenantry:
        for one in facts.escapes:
            yield found("V21", "function", one.name, f"{facts.subject.role} may run it: {one.why}",
                        f"revoke execute on function {one.name} from public, {role};")  # fmt: skip
        return
    # Elsewhere everybody may run them as PostgreSQL comes; set_config is how such an application names its tenant.
    names = [
        one.name for one in facts.escapes if not one.name.startswith("set_config") and "set_config(" not in one.name
    ]
    if names:
        yield found("V21", "function", f"{len(names)} functions of pg_catalog", f"{facts.subject.role} may reach other sessions, large objects, or run SQL out of text",
                    f"revoke execute on function\n    {(',' + chr(10) + '    ').join(names)}\n    from public, {role};", level="note")  # fmt: skip

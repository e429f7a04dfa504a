"""Policies: is each there, as it was declared, bound to the tenant, and asked once a statement (V03, V04, V35, V40)?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tenantry.tenancy.verify.checks import found
from tenantry.tenancy.verify.facts import DeclaredPolicy, Facts, Policy, Relation
from tenantry.tenancy.verify.report import Finding
from tenantry.tenancy.verify.subject import identifier

_PER_ROW = re.compile(
    r"(?<!SELECT )(?<![\w.\"])((?:\"?\w+\"?\.)?(?:get_current_tenant_id|user_id|role|uid|jwt)\(\)|current_setting\('[^']*'(?:::text)?(?:, (?:true|false))?\))"
)


def judge(facts: Facts) -> Iterator[Finding]:
    """Every policy, and every one that should be there."""
    if facts.registry is not None:
        yield from _declared(facts)
    else:
        bound = bound_functions(facts)
        for policy in facts.policies:
            yield from _by_setting(facts, policy, bound)
        yield from _commands(facts)
    for policy in facts.policies:
        if facts.registry is not None or not _is_loose(facts, policy):
            # The remedy of a policy that opens rows writes it anew: a second one, from its old text, would open them again.
            yield from _per_row(facts, policy)


def create(policy: DeclaredPolicy) -> str:
    """A declared policy as SQL."""
    text = f"create policy {identifier(policy.name)} on {policy.relation_name} for {policy.command} to {identifier(policy.role) if policy.role != 'public' else 'public'}"
    if policy.using_expression is not None:
        text += f"\n    using ({policy.using_expression})"
    if policy.check_expression is not None:
        text += f"\n    with check ({policy.check_expression})"
    return text + ";"


def _declared(facts: Facts) -> Iterator[Finding]:
    assert facts.registry is not None
    there = {(policy.relation, policy.name): policy for policy in facts.policies}
    for wanted in facts.registry.policies:
        table = facts.by_oid.get(wanted.relation)
        if table is None:
            continue  # dropped since
        policy = there.get((wanted.relation, wanted.name))
        named = f"{wanted.name} on {table.name}"
        if policy is None:
            yield found("V03", "policy", named, "the policy is missing", create(wanted))
        elif not (
            policy.is_permissive and policy.command == wanted.command and policy.roles == [wanted.role]
            and policy.using_expression == wanted.using_expression and policy.check_expression == wanted.check_expression
        ):  # fmt: skip
            yield found("V35", "policy", named, "the policy is not as it was declared",
                        f"drop policy {identifier(wanted.name)} on {table.name};\n{create(wanted)}")  # fmt: skip
    known = {(one.relation, one.name) for one in facts.registry.policies}
    for policy in facts.policies:
        if policy.is_permissive and policy.relation in facts.declared and (policy.relation, policy.name) not in known:
            yield found("V04", "policy", f"{policy.name} on {policy.relation_name}", "the policy opens rows, and nobody declared it",
                        f"drop policy {identifier(policy.name)} on {policy.relation_name};\n-- To narrow instead of open: create policy … as restrictive …")  # fmt: skip


def bound_functions(facts: Facts) -> frozenset[str]:
    """Functions whose text asks for the setting, or calls one that does: bare names."""
    setting = facts.subject.setting or ""
    names: set[str] = set()
    for _ in range(4):
        before = len(names)
        for function in facts.functions:
            if asks(function.source, setting, names):
                names.add(_bare(function.name))
        if len(names) == before:
            break
    return frozenset(names)


def asks(text: str, setting: str, functions: set[str] | frozenset[str]) -> bool:
    """Whether an expression depends on the setting."""
    if setting in text:
        return True
    return any(name in functions for name in re.findall(r"(\w+)\"?\s*\(", text))


def _bare(name: str) -> str:
    return name.partition("(")[0].rpartition(".")[2].strip('"')


def _loose(facts: Facts, policy: Policy, bound: frozenset[str]) -> list[str]:
    """The conditions of a policy that let through whatever the setting says."""
    table = facts.by_oid.get(policy.relation)
    if table is None or not policy.is_permissive or not policy.is_mine:
        return []
    if table.tenant_type is None and policy.command == "select":
        return []  # a table that all tenants read, by a policy that somebody wrote
    setting = facts.subject.setting or ""
    expressions = [text for text in (policy.using_expression, policy.check_expression) if text is not None]
    loose = [text for text in expressions if not asks(text, setting, bound)]
    return expressions if not loose and _has_open_branch(expressions, setting, bound) else loose


def _is_loose(facts: Facts, policy: Policy) -> bool:
    return bool(_loose(facts, policy, bound_functions(facts)))


def predicate(facts: Facts, table: Relation) -> str:
    """What a policy of this table should say: as a sound one of the database says it, else by the setting as a bare value.

    A setting may hold more than the tenant (claims as JSON): how it is read is then known from the other policies alone.
    """
    bound = bound_functions(facts)
    begins = re.compile(rf'\(*"?{re.escape(facts.subject.column)}"? = ')
    known = [
        one
        for one in facts.policies
        if one.is_mine and one.is_permissive and one.using_expression is not None
        and begins.match(one.using_expression) and not _loose(facts, one, bound)
    ]  # fmt: skip
    known.sort(key=lambda one: one.relation != table.oid)
    return next(
        (_once(one.using_expression) for one in known if one.using_expression is not None), facts.subject.predicate
    )


def _by_setting(facts: Facts, policy: Policy, bound: frozenset[str]) -> Iterator[Finding]:
    table = facts.by_oid.get(policy.relation)
    loose = _loose(facts, policy, bound)
    if table is not None and loose:
        setting = facts.subject.setting or ""
        said = predicate(facts, table)
        clauses = ([f"using ({said})"] if policy.command != "insert" else []) + (
            [f"with check ({said})"] if policy.command not in ("select", "delete") else []
        )
        yield found("V04", "policy", f"{policy.name} on {policy.relation_name}", f"its condition does not depend on {setting}: {loose[0]}",
                    f"alter policy {identifier(policy.name)} on {policy.relation_name} {' '.join(clauses)};" if table.tenant_type
                    else f"drop policy {identifier(policy.name)} on {policy.relation_name};")  # fmt: skip


def _has_open_branch(expressions: list[str], setting: str, bound: frozenset[str]) -> bool:
    """Whether a part of `a OR b` is free of the setting: then that part alone opens rows to everybody."""
    for text in expressions:
        parts = re.split(r"\bOR\b", text)
        if len(parts) > 1 and any(not asks(part, setting, bound) for part in parts):
            return True
    return False


def _commands(facts: Facts) -> Iterator[Finding]:
    for table in facts.relations:
        if not (table.is_table and table.has_rls) or facts.is_unbound or table.parent is not None:
            continue
        mute = [
            one
            for one in ("select", "insert", "update", "delete")
            if one in table.reachable and not _speaks(facts, table, one)
        ]
        if mute:
            yield found(
                "V03", "table", table.name, f"{facts.subject.role} may {', '.join(mute)}, and no policy says which rows",
                f"revoke {', '.join(mute)} on {table.name} from public, {identifier(facts.subject.role)};", level="note",
            )  # fmt: skip


def _speaks(facts: Facts, table: Relation, command: str) -> bool:
    return any(
        one.relation == table.oid and one.is_mine and one.is_permissive and one.command in (command, "all")
        for one in facts.policies
    )


def _once(text: str) -> str:
    """The expression with each call that runs once a row put into a sub-select; those inside of one already run once a statement."""
    selects = [(one.end(), _closing(text, one.start())) for one in re.finditer(r"\( ?SELECT ", text)]

    def wrapped(call: re.Match[str]) -> str:
        is_inside = any(begin <= call.start() < end for begin, end in selects)
        return call.group() if is_inside else f"(select {call.group(1)})"

    return _PER_ROW.sub(wrapped, text)


def _closing(text: str, opening: int) -> int:
    """Where the bracket of `opening` is closed. Brackets in quoted texts are not told apart: what is printed has none that stand alone."""
    depth = 0
    for at in range(opening, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return at
    return len(text)


def _per_row(facts: Facts, policy: Policy) -> Iterator[Finding]:
    table = facts.by_oid.get(policy.relation)
    if table is None or not policy.is_mine or table.tenant_type is None:
        return
    clauses = [
        f"{word} ({once})"
        for word, text in (("using", policy.using_expression), ("with check", policy.check_expression))
        if text is not None and (once := _once(text)) != text
    ]
    if clauses:
        yield found("V40", "policy", f"{policy.name} on {policy.relation_name}", "it calls a function for each row: write (select …) around the call",
                    f"alter policy {identifier(policy.name)} on {policy.relation_name} {' '.join(clauses)};")  # fmt: skip

"""Roles that requests sign in as: what they are, own, belong to, and may make (V05 to V08, V22, V26, V33, V37, V42)."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.tenancy.verify.checks import found
from tenantry.tenancy.verify.facts import Facts, Role
from tenantry.tenancy.verify.report import Finding
from tenantry.tenancy.verify.subject import identifier

SETTINGS = frozenset(
    {
        "TimeZone", "client_connection_check_interval", "idle_in_transaction_session_timeout", "lock_timeout", "log_min_duration_statement",
        "log_parameter_max_length", "log_parameter_max_length_on_error", "search_path", "statement_timeout", "transaction_timeout",
        "log_statement", "idle_session_timeout", "track_activities", "default_transaction_isolation",
    }
)  # fmt: skip
"""What may be stored for platform: deadlines, logging, and the search_path `public`."""


def judge(facts: Facts) -> Iterator[Finding]:
    """Every role in question."""
    for role in facts.roles:
        yield from _strength(facts, role)
        if not role.is_super:
            yield from _memberships(facts, role)
        if role.is_subject and not role.is_super:
            yield from _makes(facts, role)
            if facts.subject.is_tenantry:
                yield from _settings(facts, role)


def _strength(facts: Facts, role: Role) -> Iterator[Finding]:
    name = identifier(role.name)
    if role.is_super or role.is_bypassing:
        why = "it is a superuser" if role.is_super else "it has BYPASSRLS"
        yield found("V05", "role", role.name, f"{why}: no policy binds it", _weaker(facts, role))
        return
    for above in role.reaches_above:
        yield found(
            "V05",
            "role",
            role.name,
            f"it may become {above}, whom no policy binds",
            f"revoke {identifier(above)} from {name};",
        )
    if role.may_create_roles or role.may_create_databases:
        yield found(
            "V42", "role", role.name, "it may create roles or databases", f"alter role {name} nocreaterole nocreatedb;"
        )


def _weaker(facts: Facts, role: Role) -> str:
    if not role.is_bootstrap:
        return f"alter role {identifier(role.name)} nosuperuser nobypassrls;"
    # The first superuser cannot be made less: the application needs another login.
    schemas = sorted(
        {one.schema for one in facts.relations if one.is_table and not one.is_of_extension} - {"tenantry"}
    ) or ["public"]
    grants = "\n".join(
        f"grant usage on schema {identifier(schema)} to web;\ngrant select, insert, update, delete on all tables in schema {identifier(schema)} to web;"
        for schema in schemas
    )
    return f"-- {role.name} is the server's first superuser and stays one. Let the application sign in as another role:\ncreate role web login noinherit;\n{grants}\n-- then: tenantry verify --role web …"


def _memberships(facts: Facts, role: Role) -> Iterator[Finding]:
    monitors = {one.name for one in facts.server if one.kind == "monitoring role"}
    for above in role.direct_member_of:
        if above in role.reaches_above:
            continue  # V05 has said it
        is_wanted = role.name == "tenantry_ops" and above == "pg_read_all_stats"
        if is_wanted or (role.name == "tenantry_ops" and not role.is_subject and above not in monitors):
            continue
        cure = f"revoke {identifier(above)} from {identifier(role.name)};"
        if above in monitors:
            yield found("V33", "role", role.name, f"it is a member of {above}", cure)
        elif facts.subject.is_tenantry or _owns_tenants(facts, above):
            yield found("V07", "role", role.name, f"it is a member of {above}", cure)
    owned = role.owns
    if owned and facts.subject.is_tenantry:
        for thing in owned:
            kind = facts.by_name[thing].kind if thing in facts.by_name else "r"
            word = {"v": "view", "m": "materialized view", "S": "sequence", "f": "foreign table"}.get(kind, "table")
            yield found(
                "V06",
                word,
                thing,
                f"it belongs to {role.name}, which requests sign in as",
                f"alter {word} {thing} owner to tenantry_owner;",
            )
    elif owned:
        owner = identifier(facts.subject.owner)
        me = identifier(role.name)
        shown = ", ".join(owned[:3]) + (f" and {len(owned) - 3} more" if len(owned) > 3 else "")
        tables = [one for one in owned if one in facts.by_name and facts.by_name[one].kind != "S"]
        grants = f"\ngrant select, insert, update, delete on {', '.join(tables)} to {me};" if tables else ""
        yield found(
            "V06",
            "role",
            role.name,
            f"it owns {shown}",
            f"create role {owner} nologin;\nreassign owned by {me} to {owner};{grants}",
        )


def _owns_tenants(facts: Facts, role: str) -> bool:
    return any(one.owner == role and facts.is_tenants(one) for one in facts.relations)


def _makes(facts: Facts, role: Role) -> Iterator[Finding]:
    name = identifier(role.name)
    database = identifier(facts.value("database"))
    level = "leak" if facts.subject.is_tenantry else "note"
    if role.database_privileges and not role.owns_database:
        yield found("V08", "database", facts.value("database"), f"{role.name} may make {' and '.join({'create': 'schemas', 'temporary': 'temporary tables'}[one] for one in role.database_privileges)}",
                    f"revoke create, temporary on database {database} from public, {name};", level=level)  # fmt: skip
    for schema in role.creates_in:
        yield found(
            "V08",
            "schema",
            schema,
            f"{role.name} may create in it",
            f"revoke create on schema {identifier(schema)} from public, {name};",
            level=level,
        )
    for language in role.languages:
        yield found("V22", "language", language, f"{role.name} may write DO blocks and functions in it",
                    f"revoke usage on language {identifier(language)} from public, {name};", level=level)  # fmt: skip


def _settings(facts: Facts, role: Role) -> Iterator[Finding]:
    name, database = identifier(role.name), identifier(facts.value("database"))
    values: dict[str, str] = {}
    for one in role.settings:
        key, _, value = one.partition("=")
        values[key] = value
    for setting, value in values.items():
        if setting not in SETTINGS or (setting == "search_path" and value.strip('"') != "public"):
            put = (
                f"\nalter role {name} in database {database} set search_path = public;"
                if setting == "search_path"
                else ""
            )
            yield found("V26", "role", role.name, f"{setting} = {value} is stored for it",
                        f"alter role {name} reset {setting};\nalter role {name} in database {database} reset {setting};{put}")  # fmt: skip
    server = {one.name: one.detail for one in facts.server if one.kind == "setting"}
    longest = values.get("log_parameter_max_length", server.get("log_parameter_max_length", "-1"))
    slow = values.get("log_min_duration_statement", server.get("log_min_duration_statement", "-1"))
    if longest != "0" and (slow != "-1" or server.get("log_statement") == "all"):
        yield found("V37", "role", role.name, "bind values of its statements reach the server's log",
                    f"alter role {name} in database {database} set log_parameter_max_length = 0;")  # fmt: skip

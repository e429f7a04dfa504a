"""Tables and partitions: is row security on and forced, is the tenant's column what it should be (V01, V02, V16, V20, V34, V38)?"""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.tenancy.verify.checks import found
from tenantry.tenancy.verify.facts import Facts, Relation
from tenantry.tenancy.verify.families.policies import predicate
from tenantry.tenancy.verify.report import Finding
from tenantry.tenancy.verify.subject import identifier, literal

BOOKKEEPING = frozenset({
    "schema_migrations", "ar_internal_metadata", "_prisma_migrations", "django_migrations", "alembic_version", "flyway_schema_history",
    "knex_migrations", "knex_migrations_lock", "__drizzle_migrations", "databasechangelog", "databasechangeloglock", "goose_db_version",
    "typeorm_migrations", "SequelizeMeta", "__EFMigrationsHistory",
})  # fmt: skip
"""What migrating tools of others write down: no tenant's rows."""
ROWS = frozenset({"select", "insert", "update", "delete"})


def judge(facts: Facts) -> Iterator[Finding]:
    """Every table."""
    for table in facts.relations:
        if not table.is_table:
            continue
        if table.parent is not None:
            yield from _partition(facts, table)
        elif facts.subject.is_tenantry:
            yield from _registered(facts, table)
        else:
            yield from _by_setting(facts, table)


def on_and_forced(table: str) -> str:
    """The remedy for row security that is off."""
    return f"alter table {table} enable row level security;\nalter table {table} force row level security;"


def _partition(facts: Facts, table: Relation) -> Iterator[Finding]:
    # Rows are reached through the parent, whose policies then hold; asked directly, only the partition's own do.
    if ROWS & set(table.reachable) and not (table.has_rls and table.is_forced) and not facts.is_unbound:
        yield found(
            "V20", "partition", table.name, f"{facts.subject.role} may ask it past {table.parent}, and it has no forced row security",
            f"revoke all on {table.name} from public, {identifier(facts.subject.role)};",
        )  # fmt: skip


def _registered(facts: Facts, table: Relation) -> Iterator[Finding]:
    declared = facts.declared.get(table.oid)
    if declared is None:
        if not table.is_of_extension and (
            table.schema == "public" or (ROWS & set(table.reachable) and not facts.is_unbound)
        ):
            yield _unprotected(facts, table)
        return
    if not (table.has_rls and table.is_forced):
        yield found("V01", "table", table.name, "row security is off or not forced", on_and_forced(table.name))
    if declared.kind == "protected":
        yield from _tenant_column(table)
        if not table.has_tenant_index and table.kind == "r":
            yield found(
                "V16",
                "table",
                table.name,
                "no index begins with tenant_id",
                f"create index on {table.name} (tenant_id);",
            )
        for rule in table.rules:
            yield found("V38", "rule", f"{rule} on {table.name}", "a rule rewrites what is written to the table",
                        f"drop rule {identifier(rule)} on {table.name};")  # fmt: skip
    written = sorted({"insert", "update", "delete"} & set(table.reachable))
    if declared.kind == "shared" and written and not facts.is_unbound:
        yield found("V43", "table", table.name, f"it is shared for reading, and {facts.subject.role} may {', '.join(written)}",
                    f"revoke insert, update, delete on {table.name} from public, {identifier(facts.subject.role)};")  # fmt: skip


def _unprotected(facts: Facts, table: Relation) -> Finding:
    role = identifier(facts.subject.role)
    if table.schema != "public":
        cure = f"revoke all on {table.name} from public, {role};"
    else:
        own = "" if table.owner == "tenantry_owner" else f"alter table {table.name} owner to tenantry_owner;\n"
        name = literal(table.name)
        cure = (
            f"{own}select tenantry.protect({name});\n-- If all tenants share it, read-only: select tenantry.share({name}, 'why');"
            f"\n-- If it has rows: tenantry db protect {table.name.removeprefix('public.')} --plan"
        )
    return found("V34", "table", table.name, "no policy guards it: every tenant could read every row", cure)


def _tenant_column(table: Relation) -> Iterator[Finding]:
    faults: list[str] = []
    if table.tenant_type is None:
        yield found("V02", "table", table.name, "it is registered as protected, and has no tenant_id",
                    f"alter table {table.name} add column tenant_id uuid;\nselect tenantry.protect({literal(table.name)});")  # fmt: skip
        return
    cures: list[str] = []
    if table.tenant_type != "uuid":
        faults.append(f"tenant_id is {table.tenant_type}, not uuid")
        cures.append(f"alter table {table.name} alter tenant_id type uuid using tenant_id::text::uuid;")
    if not table.is_tenant_required:
        faults.append("tenant_id may be null")
        cures.append(f"alter table {table.name} alter tenant_id set not null;")
    if table.tenant_default is None or "get_current_tenant_id()" not in table.tenant_default:
        faults.append("tenant_id has no default of the current tenant")
        cures.append(f"alter table {table.name} alter tenant_id set default public.get_current_tenant_id();")
    if faults:
        yield found("V02", "table", table.name, "; ".join(faults), "\n".join(cures))


def _by_setting(facts: Facts, table: Relation) -> Iterator[Finding]:
    subject, reach = facts.subject, ROWS & set(table.reachable)
    if not reach or facts.is_unbound or table.is_of_extension:
        return
    may = f"{subject.role} may {', '.join(p for p in ('select', 'insert', 'update', 'delete') if p in reach)}"
    said = predicate(facts, table)
    policies = f"create policy tenant on {table.name} for all to {identifier(subject.role)}\n    using ({said}) with check ({said});"
    if table.tenant_type is None:
        if not table.has_rls and table.name.rpartition(".")[2].strip('"') in BOOKKEEPING:
            written = sorted({"insert", "update", "delete"} & reach)
            if written:
                yield found("V34", "table", table.name, f"{subject.role} may {', '.join(written)} which migrations were applied",
                            f"revoke {', '.join(written)} on {table.name} from public, {identifier(subject.role)};", level="note")  # fmt: skip
        elif not table.has_rls:
            yield found(
                "V34", "table", table.name, f"{may}, and it has neither row security nor a column {subject.column}",
                f"alter table {table.name} enable row level security;\n"
                f"create policy shared on {table.name} for select to {identifier(subject.role)} using (true);  -- if all tenants may read it",
                level="leak",
            )  # fmt: skip
        return
    if not table.has_rls:
        yield found("V01", "table", table.name, f"{may}, and row security is off",
                    f"{on_and_forced(table.name)}\n" + ("" if _has_policy(facts, table) else policies))  # fmt: skip
    elif not table.is_forced and (table.is_own or (facts.me is not None and table.owner in facts.me.member_of)):
        yield found("V01", "table", table.name, f"{subject.role} owns it, and row security is not forced: an owner is not bound by it",
                    f"alter table {table.name} force row level security;")  # fmt: skip
    if not table.is_tenant_required:
        yield found("V02", "table", table.name, f"{subject.column} may be null: such rows belong to nobody",
                    f"alter table {table.name} alter {identifier(subject.column)} set not null;", level="note")  # fmt: skip
    if not table.has_tenant_index and table.kind == "r":
        yield found("V16", "table", table.name, f"no index begins with {subject.column}",
                    f"create index on {table.name} ({identifier(subject.column)});")  # fmt: skip


def _has_policy(facts: Facts, table: Relation) -> bool:
    return any(policy.relation == table.oid and policy.is_mine for policy in facts.policies)

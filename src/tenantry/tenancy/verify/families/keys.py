"""Keys and indexes: foreign keys and unique keys are checked without row security (V14, V15, V17)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tenantry.tenancy.verify.checks import found
from tenantry.tenancy.verify.facts import Facts, Key, Reference
from tenantry.tenancy.verify.report import Finding
from tenantry.tenancy.verify.subject import identifier

_DELETE = {"c": " on delete cascade", "r": " on delete restrict"}
_UPDATE = {"c": " on update cascade", "r": " on update restrict"}


def judge(facts: Facts) -> Iterator[Finding]:
    """Every foreign key between tenants' tables, every unique key and index of one."""
    tenants = {one.oid for one in facts.relations if facts.is_tenants(one)}
    for reference in facts.references:
        if reference.child in tenants and reference.parent in tenants and not reference.has_tenant:
            yield found("V14", "foreign key", f"{reference.name} on {reference.child_name}",
                        f"it points at {reference.parent_name} without {reference.tenant}", _composite(reference))  # fmt: skip
    column = identifier(facts.subject.column)
    for key in facts.keys:
        if key.relation not in tenants:
            continue
        if (key.is_unique or key.is_exclusion) and not key.has_tenant and not key.has_uuid:
            yield _unique(key, column)
        elif (
            not (key.is_unique or key.is_exclusion or key.is_led_by_tenant or key.serves_reference)
            and " USING btree (" in key.definition
        ):
            yield found("V17", "index", key.name, f"it does not begin with {column}",
                        f"{_with_tenant(key, column)};\ndrop index {key.name};")  # fmt: skip


def _composite(one: Reference) -> str:
    columns, parents = ", ".join(one.columns), ", ".join(one.parent_columns)
    target = "" if one.has_target else f"alter table {one.parent_name} add unique ({one.tenant}, {parents});\n"
    on_delete = _DELETE.get(one.on_delete, "")
    if one.on_delete in ("n", "d"):  # the column list keeps the tenant out of what is set
        on_delete = f" on delete set {'null' if one.on_delete == 'n' else 'default'} ({columns})"
    return (
        f"{target}alter table {one.child_name} drop constraint {identifier(one.name)};\n"
        f"alter table {one.child_name} add constraint {identifier(one.name)} foreign key ({one.tenant}, {columns})\n"
        f"    references {one.parent_name} ({one.tenant}, {parents}){on_delete}{_UPDATE.get(one.on_update, '')} not valid;\n"
        f"alter table {one.child_name} validate constraint {identifier(one.name)};\n"
        f"create index on {one.child_name} ({one.tenant}, {columns});"
    )


def _unique(key: Key, column: str) -> Finding:
    what = "exclusion constraint" if key.is_exclusion else "primary key" if key.is_primary else "unique key"
    wrong = f"{what} ({', '.join(key.columns) or 'expression'}) holds between tenants"
    first = "-- After the foreign keys that point at it (V14).\n" if key.referenced_by else ""
    if key.is_exclusion:
        cure = (
            f"-- Needs extension btree_gist.\nalter table {key.relation_name} drop constraint {identifier(key.constraint_name or '')};\n"
            + (
                f"alter table {key.relation_name} add constraint {identifier(key.constraint_name or '')} "
                + re.sub(r"\(", f"({column} WITH =, ", key.constraint_definition, count=1)
                + ";"
            )
        )
    elif key.constraint_name is not None:
        name = identifier(key.constraint_name)
        definition = re.sub(r"\(", f"({column}, ", key.constraint_definition, count=1)
        cure = f"alter table {key.relation_name} drop constraint {name}, add constraint {name} {definition};"
    else:
        within = re.sub(r" USING (\w+) \(", rf" USING \1 ({column}, ", key.definition, count=1)
        cure = f"drop index {key.name};\n{within};"
    return found("V15", what, key.constraint_name or key.name, wrong, first + cure)


def _with_tenant(key: Key, column: str) -> str:
    # A name of its own making: the old index stays until the new one is there.
    unnamed = re.sub(r"^CREATE INDEX \S+ ON ", "create index on ", key.definition)
    return re.sub(r" USING btree \(", f" using btree ({column}, ", unnamed, count=1)

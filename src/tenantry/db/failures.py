"""What PostgreSQL and the wire say, as our errors: every SQLSTATE in this one place. Pure.

A message of PostgreSQL may hold a value (a key, a row), so none is passed on but those that our own functions raise for
clients (TN…). Source: PostgreSQL docs, appendix A, "PostgreSQL Error Codes".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from tenantry.db.trip import Outcome, WireFailure
from tenantry.errors import (
    BadRequest,
    Conflict,
    CredentialRefused,
    DatabaseUnavailable,
    DeadlineExceeded,
    Forbidden,
    LastOwner,
    MigrationMissing,
    NoTenantSelected,
    NotFound,
    OtherTenant,
    PoolFull,
    SqlRefused,
    TenantOverShare,
    TenantryError,
    TenantSuspended,
    TooManyRows,
    TransactionHeld,
    UnknownOutcome,
)

_UNAVAILABLE = frozenset({"53300", "57P01", "57P02", "57P03", "25P03", "25P04", "TN900"})
_PLAIN: dict[str, str] = {
    "22003": "A number is out of range",
    "22001": "A text is too long",
    "22021": "A text is not valid Unicode",
    "22P05": "A text holds a character that cannot be stored",
    "2201B": "A regular expression is not valid",
    "22025": "A pattern ends in the middle of an escape",
    "22007": "A date or time is not valid",
    "22008": "A date or time is out of range",
    "22012": "A division by zero",
}


Constraints = Mapping[str, tuple[list[str], str | None]]
"""Of each constraint its columns, and its comment. PostgreSQL keeps the key from the error where row security holds."""


def error_of(
    failure: WireFailure, *, procedure: str, where: str, read_only: bool, missing: str = "Not found.",
    constraints: Constraints = MappingProxyType({}),
) -> TenantryError:  # fmt: skip
    """The error of a failed trip. `missing` are the words for "no such row"."""
    if failure.outcome is Outcome.UNKNOWN and not read_only:
        return UnknownOutcome()
    if failure.kind != "server":
        return _of_wire(failure, procedure)
    state = failure.sqlstate
    ours = _OURS.get(state)
    if ours is not None:
        if state == "TN404":
            return NotFound(missing)
        if state == "TN403" and failure.message == "No tenant selected":
            return NoTenantSelected()
        return ours(failure.message)
    if state[:2] == "23":
        return _of_constraint(failure, constraints)
    if state == "42501" and failure.source_function == "ExecWithCheckOptions":
        return Forbidden()
    if state in ("40001", "40P01"):
        return Conflict("Somebody else changed the same rows; try again")
    if state == "57014":
        return DeadlineExceeded()
    if state == "55P03":
        return Conflict("Somebody else is changing the same rows; try again")
    if state in _UNAVAILABLE or state[:2] in ("08", "53"):
        return DatabaseUnavailable()
    if state[:2] == "22":
        # The class of data: a pattern, a limit, a text that is no number. What a caller sent, as far as anyone can tell.
        return BadRequest(_PLAIN.get(state, "A value is not valid"))
    return _of_builder(failure, procedure, where)


_OURS: dict[str, Any] = {
    "TN401": CredentialRefused, "TN403": Forbidden, "TN404": NotFound, "TN409": OtherTenant, "TN412": LastOwner,
    "TN422": BadRequest, "TN423": TenantSuspended,
}  # fmt: skip


def _of_wire(failure: WireFailure, procedure: str) -> TenantryError:
    if failure.kind == "pool_full":
        return PoolFull()
    if failure.kind == "over_share":
        return TenantOverShare(retry_after=int(failure.message))
    if failure.kind == "deadline":
        return DeadlineExceeded()
    if failure.message == "held":
        return TransactionHeld(procedure=procedure, idle_ms=5000)
    return DatabaseUnavailable()


def _of_constraint(failure: WireFailure, constraints: Constraints) -> TenantryError:
    """A constraint speaks by its comment where it has one; the fields are its columns, never their values."""
    columns, comment = constraints.get(failure.constraint, ([], None))
    fields = [name for name in columns if name != "tenant_id"]
    field = _wire(fields)
    data: dict[str, Any] = {"constraint": failure.constraint} if failure.constraint else {}
    if failure.sqlstate == "23505":
        words = f"{' and '.join(fields).replace('_', ' ') or 'This'} is taken already"
        return Conflict(comment or words[:1].upper() + words[1:], field=field, data=data)
    if failure.sqlstate == "23P01":
        return Conflict(comment or "This overlaps with what is there already", field=field, data=data)
    if failure.sqlstate == "23503":
        if failure.message.startswith("update or delete"):
            return Conflict(comment or "Something else still refers to this", data=data)
        return NotFound(comment or "What this refers to does not exist", field=field, data=data)
    if failure.sqlstate == "23502":
        name = _wire([failure.column])
        return BadRequest(f"{name or 'A value'} is required", field=name, data=data)
    return BadRequest(comment or "A value is not allowed here", field=field, data=data)


def table_of(failure: WireFailure) -> str:
    """The table whose policy refused a row; PostgreSQL gives it in its words only."""
    named = re.search(r'for table "([^"]+)"', failure.message)
    return failure.table or (named.group(1) if named else "_other")


def _wire(columns: list[str]) -> str | None:
    if len(columns) != 1 or not columns[0]:
        return None
    head, *rest = columns[0].split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def _unknown_column(failure: WireFailure, procedure: str, where: str) -> SqlRefused | None:
    """With the column that PostgreSQL thinks was meant."""
    wrong = re.search(r'column "?([^" ]+)"? (?:of relation "[^"]+" )?does not exist', failure.message)
    if wrong is None:
        return None
    name = wrong[1].rpartition(".")[2]
    meant = re.search(r'column "(?:([^".]+)\.)?([^".]+)"', failure.hint)
    near = f'. Table {meant[1]} has "{meant[2]}"' if meant is not None and meant[1] and meant[1] != "q" else ""
    cure = f"Correct the name, or add the column: tenantry db new add_{name}"
    return SqlRefused(procedure=procedure, where=where, why=f'column "{name}" does not exist{near}', cure=cure)


def unknown_table(
    table: str, *, file: str | None, others: Iterable[str], procedure: str, where: str
) -> MigrationMissing | SqlRefused:
    """`file` is the migration that makes it; without one the name is wrong, and one of the `others` may be meant."""
    if file is not None:
        return MigrationMissing(table=table, file=file, where=where)
    name = table.removeprefix("public.")
    meant = get_close_matches(name, list(others), 1, 0.75)
    near = f'. There is "{meant[0]}"' if meant else ", and no migration here makes it"
    cure = f"Correct the name, or make the table: tenantry db new add_{name}"
    return SqlRefused(
        procedure=procedure, where=where, why=f'table "{table}" does not exist{near}', cure=cure, table=table
    )


def _of_builder(failure: WireFailure, procedure: str, where: str) -> TenantryError:
    state, said = failure.sqlstate, failure.message
    if state == "21000":
        return TooManyRows(procedure=procedure, where=where)
    if state == "42P01":
        table = re.search(r'"([^"]+)"', said)
        return unknown_table(table.group(1) if table else "?", file=None, others=(), procedure=procedure, where=where)
    if state == "42703":
        unknown = _unknown_column(failure, procedure, where)
        if unknown is not None:
            return unknown
    if state == "25006":
        return SqlRefused(
            procedure=procedure, where=where, why="it writes, and a query's transaction is READ ONLY",
            cure="Make it a mutation: @router.mutation",
        )  # fmt: skip
    if state[:2] == "42" or state in ("0A000", "25P02"):
        # The statement's own fault: its words name objects, not rows.
        return SqlRefused(procedure=procedure, where=where, why=said, cure=failure.hint or "Correct the statement.")
    return SqlRefused(
        procedure=procedure, where=where, why=f"PostgreSQL raised {state}", cure="Look into the server's log."
    )

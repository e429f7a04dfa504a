"""`tenantry audit …`: the trail proved, sealed, taken out, and shortened."""

from __future__ import annotations

import argparse
import json
from typing import Any

from tenantry.cli.place import ready, say, show
from tenantry.errors import StartError
from tenantry.settings import Settings


class TrailRefused(StartError):
    """PostgreSQL refused what was asked of the trail."""

    code = "TRAIL_REFUSED"
    says = "This cannot be done with the trail: {why}."
    remedy = "Look at the command's options, and whether `tenantry db push` has run."


def _rows(text: str, *values: Any) -> list[tuple[Any, ...]]:
    import psycopg

    _, admin = ready(Settings.load())
    try:
        with psycopg.connect(admin.reveal(), cursor_factory=psycopg.RawCursor) as connection:
            return connection.execute(text.encode(), values).fetchall()
    except psycopg.Error as error:
        raise TrailRefused(why=error.diag.message_primary or "no connection") from None


def verify(arguments: argparse.Namespace) -> int:
    """Recompute the chain; 1 when a batch is not as it was sealed, or a noted hash is gone."""
    rows = _rows("select number, until, lines, hash, is_whole, is_pruned from tenantry.audit_verify()")
    broken = [row for row in rows if not row[4]]
    is_missing = arguments.expect is not None and all(row[3] != arguments.expect.lower() for row in rows)
    is_whole = not broken and not is_missing
    last = rows[-1] if rows else None
    if arguments.json:
        show(
            {
                "whole": is_whole, "batches": len(rows), "lines": sum(row[2] for row in rows),
                "broken": [row[0] for row in broken], "expected_is_missing": is_missing,
                "last": None if last is None else {"number": last[0], "until": last[1].isoformat(), "hash": last[3]},
            }
        )  # fmt: skip
        return 0 if is_whole else 1
    for row in broken:
        say(f"batch {row[0]}, until {row[1]:%Y-%m-%d %H:%M:%S}: not as it was sealed")
    if is_missing:
        say("the expected hash is not in the chain: it was made anew, or batches were taken away")
    if last is not None:
        say(f"{len(rows)} batches, {sum(row[2] for row in rows)} lines, until {last[1]:%Y-%m-%d %H:%M:%S}")
        say(f"last hash {last[3]}   (note it elsewhere: whoever owns the server could make a whole chain anew)")
    say("whole" if is_whole else "BROKEN")
    return 0 if is_whole else 1


def seal(arguments: argparse.Namespace) -> int:
    """Seal what is closed."""
    lines = _rows("select tenantry.audit_seal()")[0][0]
    if arguments.json:
        show({"lines": lines})
    else:
        say(f"{lines} lines sealed")
    return 0


def export(arguments: argparse.Namespace) -> int:
    """JSON lines to standard output."""
    found = _rows(
        "select tenantry.audit_export(case when $1::text is null then null else coalesce((select t.id from tenantry.tenants t"
        " where t.slug = $1 or t.id::text = $1), '00000000-0000-0000-0000-000000000001') end, $2::timestamptz, $3::timestamptz)",
        arguments.tenant, arguments.since, arguments.until,
    )  # fmt: skip
    for (line,) in found:
        say(json.dumps(line, default=str))
    return 0


def prune(arguments: argparse.Namespace) -> int:
    """Retention."""
    lines = _rows("select tenantry.audit_prune($1::interval)", arguments.keep)[0][0]
    if arguments.json:
        show({"lines": lines})
    else:
        say(f"{lines} lines deleted")
    return 0

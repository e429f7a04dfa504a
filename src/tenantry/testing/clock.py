"""Time that moves when a test says so: everything that is stored grows older, and now() stays what it is.

A session that ends in a day has ended after `clock.move(timedelta(days=1))`; so have invitations, keys, codes, limits, and whatever the
application's own tables hold. It is so for every connection and every way of asking (now(), current_timestamp, clock_timestamp(),
Python's own clock), which no faked now() could reach.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from tenantry.db.sql import quoted
from tenantry.testing.cleaning import TABLES

_COLUMNS = f"""
select t.named, a.attname, a.atttypid = 'pg_catalog.date'::regtype
  from ({TABLES}) t (named)
  join pg_catalog.pg_attribute a on a.attrelid = t.named::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
 where a.atttypid in ('pg_catalog.timestamptz'::regtype, 'pg_catalog.timestamp'::regtype, 'pg_catalog.date'::regtype)
   -- The trail is sealed with its times: an older one would look forged.
   and t.named not in ('public.audit_log', 'tenantry.audit_seals')
"""


class Clock:
    """The fixture `clock`. It stands at the real time when a test begins."""

    def __init__(self, admin: Any) -> None:
        self._admin = admin
        self._moved = timedelta()

    @property
    def now(self) -> datetime:
        """The time it is for the test: the real one, and how far it was moved."""
        return datetime.now(timezone.utc) + self._moved

    def set(self, to: datetime) -> None:
        """Move to a moment, which has a time zone."""
        self.move(to - self.now)

    def move(self, by: timedelta) -> None:
        """Let that much time pass: `clock.move(timedelta(days=3))`. Dates move by whole days."""
        self._moved += by
        tables: dict[str, list[str]] = {}
        admin = self._admin
        with admin.transaction():
            admin.execute("set local search_path = ''")
            for table, column, is_date in admin.execute(_COLUMNS).fetchall():
                name = quoted(column)
                change = f"{name} - $2::integer" if is_date else f"{name} - $1::interval"
                tables.setdefault(table, []).append(f"{name} = {change}")
            admin.execute("set local session_replication_role = replica")
            for table, changes in tables.items():
                # Both parameters are named in each, whichever it needs.
                text = f"update {table} set {', '.join(changes)} where $1::interval is not null and $2::integer is not null"
                admin.execute(text, (by, by.days))

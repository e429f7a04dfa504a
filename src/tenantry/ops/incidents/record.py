"""The database's copy of incidents and alert states: written when there is a database, never waited for. Fails soft."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec

from tenantry.ops.alerts import Evaluator
from tenantry.ops.incidents.desk import Desk
from tenantry.settings import Settings

if TYPE_CHECKING:
    import psycopg

DEADLINE_SECONDS = 5.0
log = logging.getLogger("tenantry.watch")
INCIDENT = """
insert into tenantry.incidents (id, service, kind, severity, opened_at, resolved_at, body)
values ($1, $2, $3, $4, $5, $6, $7::jsonb)
on conflict on constraint incidents_pkey do update
   set resolved_at = excluded.resolved_at, body = excluded.body, updated_at = now()
"""
STATE = """
insert into tenantry.alert_state (service, alert, state, since, value)
values ($1, $2, $3, $4, $5)
on conflict on constraint alert_state_pkey do update
   set state = excluded.state, since = excluded.since, value = excluded.value, updated_at = now()
"""


class Record:
    """Keeps the copy, over one connection of its own as `tenantry_ops`."""

    def __init__(self, settings: Settings) -> None:
        self.url = None if settings.database_url is None else settings.urls().ops
        self.written: dict[str, bytes] = {}
        """What the database has, by incident."""
        self.connection: psycopg.AsyncConnection[Any] | None = None
        self.under_way: asyncio.Task[None] | None = None

    def put(self, desk: Desk, evaluator: Evaluator, now: float) -> None:
        """Begin to write what changed; skipped while the last time is still under way."""
        if self.url is None or self.under_way is not None:
            return
        incidents: list[tuple[str, bytes, tuple[Any, ...]]] = []
        for incident in desk.incidents.values():
            body = msgspec.json.encode(incident)
            if self.written.get(incident.id) != body:
                row = (
                    incident.id, incident.service, incident.kind, incident.severity, _moment(incident.opened_at),
                    None if incident.resolved_at is None else _moment(incident.resolved_at), body.decode(),
                )  # fmt: skip
                incidents.append((incident.id, body, row))
        import time

        shift = now - time.monotonic()
        states = [
            (desk.service, name, verdict.state, _moment(verdict.since + shift), verdict.value)
            for name, verdict in evaluator.verdicts.items()
        ]
        self.under_way = asyncio.create_task(self._write(incidents, states))

    async def _write(self, incidents: list[tuple[str, bytes, tuple[Any, ...]]], states: list[tuple[Any, ...]]) -> None:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                connection = await self._connected()
                for _, _, row in incidents:
                    await connection.execute(INCIDENT, row)
                for row in states:
                    await connection.execute(STATE, row)
            self.written.update({id_: body for id_, body, _ in incidents})
        except Exception as error:
            log.debug("the database has no copy of this tick: %s", type(error).__name__)
            await self.close()
        finally:
            self.under_way = None

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        import psycopg

        if self.connection is None or self.connection.closed:
            assert self.url is not None
            # A raw cursor takes $1, as all SQL of this project does.
            self.connection = await psycopg.AsyncConnection.connect(
                self.url.reveal(), autocommit=True, cursor_factory=psycopg.AsyncRawCursor, prepare_threshold=None
            )
        return self.connection

    async def close(self) -> None:
        """Forget the connection; a silent server is not waited for."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.pgconn.finish()


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, timezone.utc)

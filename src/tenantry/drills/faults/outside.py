"""What lies outside of API and server: an index that is gone, a sign-in provider, the wall clock, the disk."""

from __future__ import annotations

import asyncio
import secrets

from tenantry.drills.machine import no_faketime, no_small_disk
from tenantry.drills.model import Drill
from tenantry.drills.stage import Stage

ROWS = 200_000
FILLER = "filler"
LEFT_BYTES = 64 << 10
TENANT_INDEXES = """
select i.indexrelid::regclass::text, k.conname, coalesce(pg_catalog.pg_get_constraintdef(k.oid), pg_catalog.pg_get_indexdef(i.indexrelid))
  from pg_catalog.pg_index i left join pg_catalog.pg_constraint k on k.conindid = i.indexrelid and k.contype in ('p', 'u')
 where i.indrelid = 'public.notes'::regclass
   and i.indkey[0] = (select a.attnum from pg_catalog.pg_attribute a where a.attrelid = i.indrelid and a.attname = 'tenant_id')
"""


async def _drop_index(stage: Stage) -> None:
    """Of a big table, everything that begins with the tenant's column."""
    await stage.sql(
        f"insert into notes (tenant_id, body) select $1, 'bulk ' || n from generate_series(1, {ROWS}) n",
        stage.tenants["globex"],
    )
    await stage.sql("analyze notes")
    for index, constraint, definition in await stage.sql(TENANT_INDEXES):
        if constraint is None:
            await stage.sql(f"drop index {index}")
            stage.undone.append(definition)
        else:
            await stage.sql(f'alter table notes drop constraint "{constraint}" cascade')
            stage.undone.append(f'alter table notes add constraint "{constraint}" {definition}')


async def _make_index(stage: Stage) -> None:
    for statement in stage.undone:
        await stage.sql(statement)
    stage.undone.clear()
    await stage.sql("delete from notes where body like 'bulk %'")
    await stage.sql("vacuum analyze notes")


async def _provider_gone(stage: Stage) -> None:
    await stage.provider.stop()


async def _provider_back(stage: Stage) -> None:
    await stage.provider.stop()
    await stage.provider.start()


async def _clock(stage: Stage) -> None:
    """Of who looks, not of the processes: under libfaketime 0.9.10 Python's own `time.sleep` fails, and the supervisor with it."""
    stage.skew_seconds = -7200


async def _clock_right(stage: Stage) -> None:
    stage.skew_seconds = 0


async def _fill(stage: Stage) -> None:
    """The disk, and rows that want room."""
    import psutil

    place = stage.home / "postgres"
    with (place / FILLER).open("wb") as filler:
        while psutil.disk_usage(str(place)).free > LEFT_BYTES:
            filler.write(b"\0" * min(1 << 20, max(4096, psutil.disk_usage(str(place)).free - LEFT_BYTES)))
            filler.flush()
    stage.keep_calling("notes.add", {"body": secrets.token_hex(20_000)}, callers=2, pause=0.1, is_mutation=True)


async def _make_room(stage: Stage) -> None:
    await stage.release()
    (stage.home / "postgres" / FILLER).unlink(missing_ok=True)
    await asyncio.to_thread(stage.server.ensure)


DRILLS = (
    Drill(21, "index-dropped", f"every index that begins with tenant_id is dropped, {ROWS:,} rows", _drop_index, _make_index, None,
          quiet=("HealthCheckFailing",), causes=("tenant-index-missing",), wait_seconds=4.0),
    Drill(27, "provider-gone", "a sign-in provider refuses connections", _provider_gone, _provider_back, None,
          quiet=("HighErrorRate", "HealthCheckFailing"), causes=("provider-down",), spares_others=True, wait_seconds=2.0),
    Drill(28, "clock-set", "the wall clock of whoever looks is two hours behind", _clock, _clock_right, None,
          quiet=("HealthCheckFailing", "DatabaseUnavailable", "HighErrorRate"), causes=("clock-differs",), spares_others=True, wait_seconds=2.0,
          needs=no_faketime),
    Drill(29, "disk-full", "the disk of the database is full", _fill, _make_room, None, {"HighErrorRate": 300.0}, pages=True,
          causes=("disk-full",), variant="small", needs=no_small_disk),
)  # fmt: skip

"""Isolation, by the catalogue: the tenant function, row security, policies, roles. As `tenantry_ops`, which reads no row."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from tenantry.runbook.model import Look, Probe
from tenantry.runbook.place import Place

FUNCTION_SQL = """
select p.oid is not null as is_there,
       coalesce(pg_catalog.has_function_privilege('platform', p.oid, 'execute'), false) as may_run,
       (select pg_catalog.count(*) from pg_catalog.pg_proc d join pg_catalog.pg_namespace n on n.oid = d.pronamespace
         where d.proname = 'get_current_tenant_id' and n.nspname <> 'public') as decoys
  from (select pg_catalog.to_regprocedure('public.get_current_tenant_id()')::oid as oid) p
"""
"""By schema and signature: `proname = 'get_current_tenant_id'` finds one in any schema, and does not see a lost grant."""

ROLE_SQL = """
select r.rolsuper, r.rolbypassrls, r.rolconnlimit,
       (select pg_catalog.count(*) from pg_catalog.pg_class c where c.relowner = r.oid and c.relkind in ('r', 'p')) as owns
  from pg_catalog.pg_roles r where r.rolname = 'platform'
"""


async def _function(place: Place) -> Look:
    (row,) = await place.ask("ops", FUNCTION_SQL)
    words = (
        "missing in public"
        if not row["is_there"]
        else "there, and platform may not execute it"
        if not row["may_run"]
        else "there"
    )
    if row["decoys"]:
        words += f"; {row['decoys']} of that name in other schemas"
    return Look(dict(row), words)


async def _role(place: Place) -> Look:
    rows = await place.ask("ops", ROLE_SQL)
    if not rows:
        return Look({"is_there": False}, "there is no role platform")
    row = rows[0]
    words = f"superuser={row['rolsuper']} bypassrls={row['rolbypassrls']} connection limit={row['rolconnlimit']} owns {row['owns']} tables"
    return Look({"is_there": True, **row}, words)


async def _defects(place: Place) -> Look:
    rows = await place.ask("ops", "select check_id, object, detail, cure from tenantry.defects() order by 1, 2")
    found: list[dict[str, Any]] = [dict(row) for row in rows]
    return Look({"defects": found}, "\n".join(f"{d['object']}: {d['detail']}" for d in found) or "none")


async def _holes(place: Place) -> Look:
    """The fast half of `tenantry verify`, in a thread that nobody waits for: a stopped server must not keep the doctor."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[list[tuple[str, str, str, str]]] = loop.create_future()
    url = place.url("ops").reveal()

    def tell(found: list[tuple[str, str, str, str]] | None, error: Exception | None) -> None:
        if told.done():
            return
        if error is None and found is not None:
            told.set_result(found)
        else:
            told.set_exception(error or RuntimeError("it ended without a word"))

    def work() -> None:
        found, failed = None, None
        try:
            found = _read_holes(url)
        except Exception as error:  # whatever it is, it is told where it is awaited
            failed = error
        try:
            loop.call_soon_threadsafe(tell, found, failed)
        except RuntimeError:
            return  # the loop is over: nobody wants to know

    threading.Thread(target=work, name="holes", daemon=True).start()
    found = [{"check": name, "object": what, "wrong": wrong, "cure": cure} for name, what, wrong, cure in await told]
    return Look({"holes": found}, "\n".join(f"{one['object']}: {one['wrong']}" for one in found) or "none")


def _read_holes(url: str) -> list[tuple[str, str, str, str]]:
    import psycopg

    from tenantry.runbook.place import refused
    from tenantry.tenancy.verify import holes

    try:
        with psycopg.connect(
            url, connect_timeout=3, cursor_factory=psycopg.RawCursor, application_name="tenantry doctor", prepare_threshold=None
        ) as connection:  # fmt: skip
            connection.execute("set transaction read only")
            connection.execute("set local statement_timeout = '4s'")
            return holes(connection)
    except psycopg.Error as error:
        raise refused(error) from None


FUNCTION = Probe(
    "tenant-function",
    "select to_regprocedure('public.get_current_tenant_id()'), has_function_privilege('platform', …)",
    _function,
)
ROLE = Probe("role-platform", "\\du platform", _role)
DEFECTS = Probe("isolation-defects", "select * from tenantry.defects(); tenantry verify", _defects)
HOLES = Probe("isolation-holes", "tenantry verify", _holes)

"""Isolation: the tenant function, policies, forced row security, the role, and a handler that writes another tenant's rows."""

from __future__ import annotations

from tenantry.drills.faults.signs import UNSOUND, is_unsound
from tenantry.drills.model import Do, Drill
from tenantry.drills.stage import Stage


def _sql(*texts: str) -> Do:
    async def run(stage: Stage) -> None:
        for text in texts:
            await stage.sql(text)

    return run


async def push(stage: Stage) -> None:
    """Put isolation back, unless the doctor has."""
    if stage.is_mended:
        return
    code, _ = await stage.command("db", "push", seconds=120.0)
    if code:
        message = "tenantry db push failed"
        raise RuntimeError(message)


async def drop_policy(stage: Stage) -> None:
    """Of inserting into notes."""
    ((name,),) = await stage.sql(
        "select policyname from pg_catalog.pg_policies where schemaname = 'public' and tablename = 'notes' and cmd = 'INSERT' limit 1"
    )
    await stage.sql(f'drop policy "{name}" on public.notes')


async def _function(stage: Stage) -> None:
    await stage.sql("drop function public.get_current_tenant_id() cascade")
    await stage.sql("create schema if not exists decoy")
    await stage.sql(
        "create or replace function decoy.get_current_tenant_id() returns uuid language sql as 'select null::uuid'"
    )


async def _function_back(stage: Stage) -> None:
    await stage.sql("drop schema if exists decoy cascade")
    await push(stage)


async def _steal(stage: Stage) -> None:
    for _ in range(12):
        await stage.call("drill.steal", {"tenant": stage.tenants["globex"]}, is_mutation=True)


async def _nothing(stage: Stage) -> None:
    await stage.release()


DRILLS = (
    Drill(9, "grant-lost", "revoke execute on get_current_tenant_id() from public, platform",
          _sql("revoke execute on function public.get_current_tenant_id() from public, platform"), push, is_unsound, UNSOUND, pages=True,
          causes=("tenant-function-grant-lost",)),
    Drill(10, "function-gone", "get_current_tenant_id() is gone from public, a decoy stands in another schema", _function, _function_back,
          is_unsound, UNSOUND, pages=True, causes=("tenant-function-missing",)),
    Drill(11, "policy-dropped", "drop policy on one table", drop_policy, push, is_unsound, UNSOUND, pages=True, causes=("policy-missing",)),
    Drill(12, "force-off", "alter table users no force row level security", _sql("alter table public.users no force row level security"),
          push, is_unsound, UNSOUND, pages=True, causes=("rls-off",)),
    Drill(13, "role-bypasses", "alter role platform bypassrls", _sql("alter role platform bypassrls"), _sql("alter role platform nobypassrls"),
          is_unsound, UNSOUND, pages=True, causes=("role-bypasses-rls",)),
    Drill(14, "rows-refused", "a handler writes another tenant's id twelve times", _steal, _nothing, None, {"RLSViolations": 15.0},
          causes=("rows-refused",), spares_others=True),
)  # fmt: skip

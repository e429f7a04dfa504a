"""The application of lane.py: the built-in procedures, and a statement that takes as long as it is told."""

from tenantry import Ctx, Statement, Tenantry

app = Tenantry()


@app.router("bench").query
def sleep(ctx: Ctx, seconds: float) -> Statement[str]:
    """Nothing, after so many seconds; `users.get`'s work stands in for that of a real statement."""
    return ctx.db.one(
        str, "select case when $1::float8 > 0 then pg_sleep($1::float8)::text else tenantry.role() end", seconds
    )

"""`tenantry shell --as EMAIL`: Python with `await`, `ctx` and `call`, as one member of one tenant.

What it reads and writes goes the way of requests: the person's own session, role and rows. READ ONLY unless `--write` is given, which asks
first, and in production wants `--reason`. Who opened it, as whom and why stands in the tenant's audit trail.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import code
import getpass
import inspect
import json
import secrets
import sys
import traceback
import types
from typing import TYPE_CHECKING, Any

from tenantry.cli.place import load, ready, tell
from tenantry.errors import Forbidden, SqlRefused, StartError, TenantryError
from tenantry.settings import Settings

if TYPE_CHECKING:
    from uuid import UUID

    from tenantry.app import Tenantry
    from tenantry.rpc import Procedure

LIVES = "1 hour"


class ShellRefused(StartError):
    """No shell is opened; nothing was done."""

    code = "SHELL_REFUSED"
    says = "No shell: {why}."
    remedy = "{cure}"


def run(arguments: argparse.Namespace) -> int:
    """Sign the person in, open the application, read and run lines until the end of input."""
    given = Settings.load()
    if arguments.write:
        _ask(given, arguments.reason)
    app = load(arguments.app, given)
    settings, admin = ready(app.settings_type.load())
    token = secrets.token_urlsafe(32)
    tenant, slug = _sign_in(admin.reveal(), arguments, token)
    try:
        asyncio.run(_talk(app, settings, token, arguments, slug))
    finally:
        _sign_out(admin.reveal(), settings.urls().auth.reveal(), tenant, arguments, token)
    return 0


def _ask(settings: Settings, reason: str) -> None:
    if settings.env == "production" and not reason:
        raise ShellRefused(why="it would write in production, and no reason is given", cure='Say why: --reason "…"')
    if sys.stdin.isatty():
        sys.stderr.write("This shell can change rows. Type write to go on: ")
        if sys.stdin.readline().strip() != "write":
            raise ShellRefused(why="it was not confirmed", cure="Leave --write out to look only.")


def _sign_in(admin: str, arguments: argparse.Namespace, token: str) -> tuple[UUID, str]:
    """A session for the person, and a line in the trail, in one transaction. Raises ShellRefused."""
    import psycopg

    with psycopg.connect(admin, cursor_factory=psycopg.RawCursor) as connection:
        row = _tenants(connection, arguments)
        if len(row) != 1:
            raise _nobody(arguments, is_several=bool(row))
        tenant, slug = row[0]
        try:
            connection.execute(
                "select tenantry.create_session($1, $2, $3, $4::interval)",
                (token.encode(), arguments.email, tenant, LIVES),
            )
        except psycopg.Error as error:
            raise ShellRefused(
                why=error.diag.message_primary or "it was refused",
                cure="Look at --as and --tenant.",
            ) from None
        _note(connection, tenant, "shell_open", arguments)
    return tenant, slug


def _nobody(arguments: argparse.Namespace, *, is_several: bool) -> ShellRefused:
    if is_several:
        return ShellRefused(
            why=f"{arguments.email} is a member of several tenants",
            cure="Name the tenant, by slug or id: --tenant acme",
        )
    if arguments.tenant is not None:
        return ShellRefused(why=f'there is no tenant "{arguments.tenant}"', cure="Name it by slug or id: --tenant acme")
    return ShellRefused(
        why=f"nobody is called {arguments.email} here",
        cure="Look at the address; tenantry demo makes people to try it with (ann@acme.example).",
    )


_NAMED = "select id, slug from tenantry.tenants where slug = $1 or id::text = $1"
_OF_PERSON = """
select n.id, n.slug
  from public.auth_identities i
  join public.users u on u.identity_id = i.id
  join tenantry.tenants n on n.id = u.tenant_id
 where i.email = pg_catalog.lower($1)
"""


def _tenants(connection: Any, arguments: argparse.Namespace) -> list[tuple[UUID, str]]:
    """The tenants that are meant; only a superuser (the embedded server's) may look for a person's."""
    import psycopg

    try:
        text, value = (_OF_PERSON, arguments.email) if arguments.tenant is None else (_NAMED, arguments.tenant)
        return connection.execute(text, (value,)).fetchall()
    except psycopg.errors.InsufficientPrivilege:
        raise ShellRefused(
            why="this login may not look for a person's tenants", cure="Name the tenant: --tenant acme"
        ) from None


def _note(connection: Any, tenant: UUID, action: str, arguments: argparse.Namespace) -> None:
    detail = {"by": getpass.getuser(), "write": arguments.write, "reason": arguments.reason}
    connection.execute(
        "select tenantry.note_shell($1, $2, $3, $4)", (tenant, action, arguments.email, json.dumps(detail))
    )


def _sign_out(admin: str, auth: str, tenant: UUID, arguments: argparse.Namespace, token: str) -> None:
    import psycopg

    with psycopg.connect(admin, cursor_factory=psycopg.RawCursor) as connection:
        _note(connection, tenant, "shell_close", arguments)
    try:
        with psycopg.connect(auth, cursor_factory=psycopg.RawCursor) as connection:
            connection.execute("select tenantry.sign_out($1, '{}')", (token.encode(),))
    except psycopg.Error:
        tell(f"The session could not be ended; it ends by itself within {LIVES}.")


async def _talk(app: Tenantry[Any], settings: Settings, token: str, arguments: argparse.Namespace, slug: str) -> None:
    from msgspec.structs import replace

    from tenantry.context import Ctx
    from tenantry.db import Session
    from tenantry.db.trip import Entry
    from tenantry.testing.calling import body_of, call

    await app.open(replace(settings, pool_size=2, log_rate=0))
    state = app._state  # pyright: ignore[reportPrivateUsage] - just opened
    assert state is not None
    session = Session(state.pool, Entry(token.encode(), not arguments.write, None, None, "shell", settings.deadline_ms))
    session.loosen()  # each statement is a transaction of its own
    ctx: Ctx[Any] = Ctx(state.resources, "shell", _Visit(), session)  # pyright: ignore[reportArgumentType] - what a statement needs of a visit

    async def called(procedure: Procedure[..., Any], *given: Any, **named: Any) -> Any:
        """`await call(notes.add, body="…")`: a procedure, as this person."""
        if procedure.type != "query" and not arguments.write:
            message = "this shell is READ ONLY: open it with --write"
            raise Forbidden(message)
        base = app.mounts(settings.base_path)[0].path
        return await call(app, base, procedure, token, body_of(procedure, given, named))

    names: dict[str, Any] = {"__name__": "__console__", "app": app, "ctx": ctx, "call": called}
    for path, procedure in app.procedures().items():
        if "." in path and procedure.handler.__module__.partition(".")[0] != "tenantry":
            room = names.setdefault(path.partition(".")[0], types.SimpleNamespace())
            setattr(room, procedure.handler.__name__, procedure)
    how = "it can change rows" if arguments.write else "READ ONLY"
    rooms = sorted(name for name in names if name not in ("__name__", "app", "ctx", "call"))
    banner = (
        f"{arguments.email}, in {slug}; {how}. There are ctx, call, app and {', '.join(rooms)}: await call({rooms[0]}.…)"
        if rooms
        else f"{arguments.email}, in {slug}; {how}."
    )
    loop = asyncio.get_running_loop()
    try:
        await loop.run_in_executor(None, _Console(names, loop).interact, banner, "")
    finally:
        await app.close(1.0)


class _Visit:
    """No request: it has an id, and no headers."""

    def __init__(self) -> None:
        self.request_id = "shell"
        self.headers: list[tuple[bytes, bytes]] = []
        self.reply_headers: list[tuple[bytes, bytes]] = []
        self.params = None
        self.address = None


class _Console(code.InteractiveConsole):
    """Lines are read in a thread, and run in the application's loop."""

    def __init__(self, names: dict[str, Any], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(names)
        self.loop = loop
        self.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

    def runcode(self, code: types.CodeType) -> None:
        """Run one statement; errors are shown, and the next line is read."""
        try:
            asyncio.run_coroutine_threadsafe(self._run(code), self.loop).result()
        except SystemExit:
            raise
        except TenantryError as error:
            is_read_only = isinstance(error, SqlRefused) and "READ ONLY" in error.message
            self.write("FORBIDDEN this shell is READ ONLY: open it with --write\n" if is_read_only else f"{error}\n")
        except BaseException as error:
            self.write("".join(traceback.format_exception(type(error), error, _typed(error.__traceback__))))

    async def _run(self, code: types.CodeType) -> None:
        made = types.FunctionType(code, self.locals)()  # pyright: ignore[reportArgumentType] - a dict, as was given
        if inspect.iscoroutine(made):
            await made


def _typed(trace: types.TracebackType | None) -> types.TracebackType | None:
    """A trace from what was typed on: what runs it is nobody's business."""
    found = trace
    while found is not None and found.tb_frame.f_code.co_filename != "<console>":
        found = found.tb_next
    return found or trace

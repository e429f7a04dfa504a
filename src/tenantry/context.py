# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownLambdaType=false
"""What a handler is given first: who calls, and the tenant's database.

`Ctx` is for procedures inside a tenant, `Visitor` for public ones (it has no `db`: a visitor's query is a type error, not a
surprise at run time), `Person` for the few procedures that belong to a signed-in person rather than to a tenant. All
other parameters of a handler are its input. Builders subclass `Ctx` for routers of their own; nothing here does I/O.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, ParamSpec, Protocol, TypeAlias

from tenantry.db import Pool, Session, Transaction
from tenantry.errors import DatabaseUnavailable, NotBuiltYet, NotKnownYet
from tenantry.identity import Credential, IdentityId, Membership, Role, TenantId, UserId
from tenantry.rpc import Tracked

if TYPE_CHECKING:
    import psycopg
    import psycopg.rows
    from sqlalchemy.ext.asyncio import AsyncSession

    # The default makes a bare `Ctx` complete for strict checkers; typing has it from Python 3.13 only.
    from typing_extensions import TypeVar

    App = TypeVar("App", default=None)
    T = TypeVar("T")
else:
    from typing import TypeVar

    App = TypeVar("App")
    T = TypeVar("T")
P = ParamSpec("P")
Extended = TypeVar("Extended", bound="Visitor[Any]")

Headers = list[tuple[bytes, bytes]]


class Visit(Protocol):
    """One HTTP request, or one WebSocket: what the calls in it have in common."""

    request_id: str
    headers: Headers
    reply_headers: Headers
    params: dict[str, str] | None

    @property
    def address(self) -> str | None:
        """Who sends: the peer, or what trusted proxies say of it."""
        ...

    @property
    def place(self) -> Place:
        """The mount that was called."""
        ...


class Place(Protocol):
    """A mount at work in this process."""

    @property
    def path(self) -> str:
        """Where it is mounted."""
        ...

    def broadcast_reconnect(self) -> int:
        """Ask every client with a WebSocket here to connect anew (tRPC's `reconnect`); gives how many were asked."""
        ...

    def drop_sockets(self) -> int:
        """Cut every WebSocket here; gives how many."""
        ...


class Call(NamedTuple):
    """The call that a middleware runs around: the procedure's wire path, and what kind it is."""

    path: str
    type: Literal["query", "mutation", "subscription"]
    docs: str


Next: TypeAlias = Callable[[], Awaitable[object]]
"""Goes on with the call: gives its result after the commit, and raises what it raised. Called once."""


class Visitor(Generic[App]):
    """Anyone: what a public procedure is given.

    `app` is what the application's `resources` factory made; `request_id` stands in the answer's `x-request-id`, in the
    log, and in the data of an internal error.
    """

    __slots__ = ("_visit", "app", "procedure")

    def __init__(self, app: App, procedure: str, visit: Visit) -> None:
        self.app = app
        self.procedure = procedure
        self._visit = visit

    @property
    def request_id(self) -> str:
        """The id of the request, or of the WebSocket."""
        return self._visit.request_id

    @property
    def headers(self) -> Headers:
        """The request's headers in their order, names in lower case."""
        return self._visit.headers

    @property
    def reply_headers(self) -> Headers:
        """What `set_header` added so far."""
        return self._visit.reply_headers

    @property
    def connection_params(self) -> dict[str, str] | None:
        """tRPC's `connectionParams`, of a subscription or a WebSocket: a claim like a header, and as little proven."""
        return self._visit.params

    @property
    def mount(self) -> Place:
        """The mount that was called, and its WebSockets."""
        return self._visit.place

    def extend(self, kind: type[Extended], **attributes: Any) -> Extended:
        """This context as one of a router's own class, with more attributes: what `app.router(…, ctx=make)` returns."""
        made = kind.__new__(kind)
        for name in ("_visit", "app", "procedure", "db", "accounts", "credential", "new_session"):
            if hasattr(self, name):
                setattr(made, name, getattr(self, name))
        for name, value in attributes.items():
            setattr(made, name, value)
        return made

    def header(self, name: str) -> str | None:
        """The first request header of that name (any case), or None."""
        wanted = name.lower().encode("ascii", "replace")
        return next((value.decode("latin-1") for key, value in self.headers if key == wanted), None)

    def set_header(self, name: str, value: str) -> None:
        """Add a header to the answer; called twice with one name, it makes two lines (as `set-cookie` needs)."""
        if any(c in "\r\n\0" for c in name + value):
            message = "a header holds no line break"
            raise ValueError(message)
        self.reply_headers.append((name.lower().encode("ascii"), value.encode("latin-1")))

    def visit(self) -> str:
        """What the audit trail keeps of this request: its sender's address, its id, and the browser's name for itself."""
        agent = "".join(c for c in self.header("user-agent") or "" if c.isprintable())[:300]
        return json.dumps({"ip": self._visit.address, "agent": agent, "request": self.request_id})

    async def thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking call in a thread: `await ctx.thread(requests.get, url)`. It must not use `ctx`."""
        return await asyncio.get_running_loop().run_in_executor(None, partial(function, *args, **kwargs))


class Person(Visitor[App], Generic[App]):
    """A signed-in person, whatever tenant the session is in, or none: `tenants.list` and `tenants.switch`.

    `accounts` signs in as `tenantry_auth`, which reaches its own functions and no tenant's rows.
    """

    __slots__ = ("accounts", "credential", "new_session")

    def __init__(self, app: App, procedure: str, visit: Visit, credential: Credential, accounts: Pool) -> None:
        super().__init__(app, procedure, visit)
        self.credential = credential
        self.accounts = accounts
        self.new_session: tuple[str, datetime] | None = None

    def set_session(self, token: str, expires: datetime) -> None:
        """The session goes on under another token: the answer sets the session cookie."""
        self.new_session = (token, expires)


class Ctx(Visitor[App], Generic[App]):
    """A member of a tenant: what an ordinary procedure is given.

    `db` is the tenant's database for this call: one transaction, opened by the first statement, committed when the handler
    returns, undone when it raises. Rows of other tenants do not exist in it.
    """

    __slots__ = ("db",)

    def __init__(self, app: App, procedure: str, visit: Visit, db: Session) -> None:
        # Written out, not super(): this runs once for every request of the hot path.
        self.app = app
        self.procedure = procedure
        self._visit = visit
        self.db = db

    def _known(self, name: str) -> Membership:
        membership = self.db.membership
        if membership is None:
            raise NotKnownYet(name=name)
        return membership

    @property
    def user(self) -> Membership:
        """The caller as the database resolved it: tenant, user, identity, role. Raises NotKnownYet before the first statement."""
        return self._known("user")

    @property
    def user_id(self) -> UserId:
        """The caller's id in `users`. Raises NotKnownYet before the first statement has run."""
        return self._known("user_id").user_id

    @property
    def identity_id(self) -> IdentityId:
        """The person behind the user, over all tenants. Raises NotKnownYet before the first statement has run."""
        return self._known("identity_id").identity_id

    @property
    def tenant_id(self) -> TenantId:
        """The tenant that the session is in. Raises NotKnownYet before the first statement has run."""
        return self._known("tenant_id").tenant_id

    @property
    def role(self) -> Role:
        """owner, admin or member. Raises NotKnownYet before the first statement has run."""
        return self._known("role").role

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """A short transaction of its own, committed where the block ends, so that none is held over an outside call.

        Each block enters the tenant anew, and so checks the membership anew. Not to be mixed with bare `ctx.db`.
        """
        return self.db.transaction()

    def psycopg(self) -> AbstractAsyncContextManager[psycopg.AsyncConnection[psycopg.rows.TupleRow]]:
        """This call's own transaction, as an ordinary psycopg connection: cursors, COPY, what is written over them.

        `async with ctx.psycopg() as conn`. Tenant, role, READ ONLY and deadline hold in it; `conn.transaction()` makes savepoints.
        Afterwards the connection is cleaned. Raises ConnectionPooled behind a transaction pooler, TransactionMixed.
        """
        from tenantry.db.lent import lend

        return lend(self.db)

    def sqlalchemy(self) -> AbstractAsyncContextManager[AsyncSession]:
        """The same as SQLAlchemy's AsyncSession (extra `sqlalchemy`): its commit and rollback are savepoints, its end flushes."""
        from tenantry.db.lent import alchemy

        return alchemy(self.db)

    async def enqueue(self, job: object, *arguments: object) -> None:
        """Kept for background jobs. Raises NotBuiltYet."""
        del job, arguments
        raise NotBuiltYet(name="ctx.enqueue")

    async def lock(self, name: str) -> None:
        """Wait for the tenant's lock of that name, held to the transaction's end: for count-then-insert."""
        await self.db.lock(name)

    async def publish(self, topic: str, value: object) -> None:
        """Tell the tenant: `await ctx.publish("notes.added", note)`. Subscribers see it when this call's transaction commits, else never.

        The value is encoded as a result is. Raises PublishRefused (in a query, or no topic) and PayloadTooLarge.
        """
        await self.db.publish(topic, value)

    def subscribe(self, type_: type[T], topic: str, *, after: str | None = None) -> AsyncIterator[Tracked[T]]:
        """What is published under a topic of the tenant: first what came after the event `after`, without gap or repeat, then live.

        Without `after` it begins now. No connection is held while it waits; one value is shared by all its subscribers, so
        treat it as read-only. Raises EventsGone (older than is kept), SlowConsumer, and Unauthorized or Forbidden within 5 s
        of the session's end.
        """
        outlet = self.db.pool.outlet
        if outlet is None:
            raise DatabaseUnavailable
        return outlet.subscribe(self.db.entry, type_, topic, after)

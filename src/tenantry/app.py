"""`Tenantry`: what a builder makes one of, and the only place that wires the rooms together.

Making one, and hanging procedures on it, does no I/O. `open` connects (in the worker, after the fork), `close` drains. It
is an ASGI application by itself (`uvicorn notes:app`, `api.mount("/", app)`), and `tenantry serve` runs its `handler` on
the native server, which writes an answer in one piece.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NoReturn,
    TypedDict,
    Unpack,
    get_type_hints,
    overload,
)

from tenantry.errors import DatabaseNotReady, NameClash, NotBuiltYet, PermissionUnknown, PortInUse, ResourcesFailed
from tenantry.identity import ROLES, Role
from tenantry.rpc import Jsonl, Mount, Procedure, Router, Sse, Transformer, WebSockets
from tenantry.settings import Settings
from tenantry.signals import Signals

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from tenantry.auth import SignIn
    from tenantry.context import Ctx, Visitor
    from tenantry.db import Limits, Pool
    from tenantry.dev import Desk, Recorder
    from tenantry.dispatch import Dispatcher, ResponseInfo, ResponseMeta, Road
    from tenantry.events import Hub
    from tenantry.http import Accept, AsgiShell, Handler, Intake, Request, Response, Running
    from tenantry.logs import RequestLines
    from tenantry.ops import Health, OpsListener, Pulse, Slots
    from tenantry.ops.otel import Telemetry
    from tenantry.settings import Urls
    from tenantry.signals import Store

    Resources = TypeVar("Resources", default=None)
    Own = TypeVar("Own")
    Around = TypeVar("Around", bound=Callable[..., Awaitable[object]])
    Admission = TypeVar("Admission", bound=Callable[..., Awaitable[None]])
    ErrorData = TypeVar("ErrorData", bound=Callable[..., object])
    SayMeta = TypeVar("SayMeta", bound=Callable[[ResponseInfo], ResponseMeta | None])
else:
    from typing import TypeVar

    Resources = TypeVar("Resources")

Case = Literal["camel", "as_written"]
log = logging.getLogger("tenantry")


class MountOptions(TypedDict, total=False):
    """What `app.mount` takes beside the path; see `tenantry.rpc.Mount`."""

    transformer: Transformer | None
    allow_method_override: bool
    batching: bool
    max_batch: int | None
    max_body_bytes: int | None
    development: bool | None
    sse: Sse
    jsonl: Jsonl
    ws: WebSockets


class Tenantry(Generic[Resources]):
    """An application: routers of procedures over one PostgreSQL.

    `resources` is an async context manager factory, entered once a worker after the fork and left after the drain; what it
    yields is `ctx.app`. A factory that takes the settings says by its annotation which class they are read into.
    `case` says how Python names reach the wire: `due_at` as `dueAt`, or as written. `transformer` is that of
    the mount at TENANTRY_BASE_PATH, where no `mount` is called.
    """

    def __init__(
        self,
        *,
        resources: Callable[..., AbstractAsyncContextManager[Resources]] | None = None,
        settings: type[Settings] | None = None,
        case: Case = "camel",
        transformer: Transformer | None = None,
    ) -> None:
        self._resources_factory = resources
        self._settings_type = settings or _settings_of(resources)
        self._case: Case = case
        self._transformer: Transformer | None = transformer
        self._routers: list[Router[Any]] = []
        self._mounts: list[Mount] = []
        self._middlewares: list[Callable[..., Any]] = []
        self._admission: Callable[[Visitor[Any]], Awaitable[None]] | None = None
        self._error_data: Callable[..., Any] | None = None
        self._response_meta: Callable[[ResponseInfo], ResponseMeta | None] | None = None
        self._permissions: dict[str, tuple[Role, str]] = {}
        self._state: _Open | None = None
        self._opening: asyncio.Lock | None = None
        self._shell: AsgiShell | None = None
        self._served: Served | None = None

    # ------------------------------------------------------------------ what a builder says

    @overload
    def router(self, name: str) -> Router[Ctx[Resources]]: ...
    @overload
    def router(self, name: str, *, public: Literal[True]) -> Router[Visitor[Resources]]: ...
    @overload
    def router(self, name: str, *, public: bool) -> Router[Any]: ...
    @overload
    def router(self, name: str, *, ctx: Callable[[Any], Awaitable[Own]], public: bool = False) -> Router[Own]: ...

    def router(
        self, name: str, *, ctx: Callable[[Any], Awaitable[Any]] | None = None, public: bool = False
    ) -> Router[Any]:  # fmt: skip
        """A named group of procedures: `notes = app.router("notes")`, then `@notes.query` and `@notes.mutation`.

        `ctx` is an async function from the ordinary context to the router's own, a subclass, which its handlers then take
        (`ctx.extend(AdminCtx, plan=…)`); `public` makes all of them public. A name of "" puts procedures at the root.
        """
        router: Router[Any] = Router(name, case=self._case, ctx=ctx, public=public)
        self._routers.append(router)
        return router

    def mount(self, path: str, **options: Unpack[MountOptions]) -> None:
        """Serve the procedures at `path` with options of its own (see `Mount`); called again for each further one.

        Without any mount they are served at TENANTRY_BASE_PATH. Raises ValueError for a path that is none, or is taken.
        """
        made = Mount(path=path, **options)
        if any(other.path.rstrip("/") == path.rstrip("/") for other in self._mounts):
            message = f"{path} is mounted already"
            raise ValueError(message)
        self._mounts.append(made)

    def middleware(self, around: Around, /) -> Around:
        """Run `around` around each procedure: `async def m(ctx: Ctx, call: Call, next: Next) -> object`.

        It runs around the handler's transaction: `await next()` gives the result after its commit, and raises what undid it; what a
        middleware raises after `next()` is raised after the commit. In the order of declaration. A procedure with one needs a task.
        """
        self._middlewares.append(around)
        return around

    def admission(self, ask: Admission, /) -> Admission:
        """Ask `ask` once for each request, or WebSocket, before its first call: what it raises fails all of its calls.

        `async def admit(visitor: Visitor) -> None`: for addresses, connection params, a maintenance page.
        """
        self._admission = ask
        return ask

    def error_data(self, add: ErrorData, /) -> ErrorData:
        """Add to the `data` of every error what `add(error, path)` gives, a Record: tRPC's error formatter."""
        self._error_data = add
        return add

    def response_meta(self, say: SayMeta, /) -> SayMeta:
        """Add to the head of every answer what `say(info: ResponseInfo)` gives: a status, headers. tRPC's `responseMeta`."""
        self._response_meta = say
        return say

    def broadcast_reconnect(self) -> int:
        """Ask every client with a WebSocket of this process to open another one, before a deploy; gives how many were asked."""
        state = self._state
        return 0 if state is None else sum(place.broadcast_reconnect() for place in state.dispatcher.places)

    def include(self, *parts: Router[Any] | ModuleType) -> None:
        """Serve routers that were made elsewhere: the routers themselves, or the modules that they stand in."""
        for part in parts:
            found: list[Router[Any]] = (
                [part] if isinstance(part, Router) else [v for v in vars(part).values() if isinstance(v, Router)]
            )
            if not found:
                message = f"{getattr(part, '__name__', part)!r} holds no router"
                raise TypeError(message)
            self._routers.extend(router for router in found if router not in self._routers)

    def permission(self, name: str, *, least: Role, says: str) -> str:
        """A finer right than a role, for `can=` and for SQL's `tenantry.can('…')`; tenants may grant it anew.

        `tenantry db push` writes it to `tenantry.permissions`. Raises ValueError if the name has no dot or is taken.
        """
        if "." not in name or least not in ROLES:
            message = f'a permission is named "thing.act" and has one of the roles {", ".join(ROLES)}'
            raise ValueError(message)
        if name in self._permissions:
            message = f'the permission "{name}" is there already'
            raise ValueError(message)
        self._permissions[name] = (least, says)
        return name

    def job(self, *arguments: Any, **options: Any) -> NoReturn:
        """Kept for background jobs. Raises NotBuiltYet."""
        del arguments, options
        raise NotBuiltYet(name="app.job")

    def every(self, *arguments: Any, **options: Any) -> NoReturn:
        """Kept for background jobs. Raises NotBuiltYet."""
        del arguments, options
        raise NotBuiltYet(name="app.every")

    # ------------------------------------------------------------------ what the server and the commands ask

    @property
    def routers(self) -> list[Router[Any]]:
        """The application's own, in the order of their making."""
        return list(self._routers)

    @property
    def permissions(self) -> dict[str, tuple[Role, str]]:
        """Name → (least role, what it lets one do): what `tenantry db push` writes."""
        return dict(self._permissions)

    def procedures(self) -> dict[str, Procedure[..., Any]]:
        """Wire path → procedure, the built-in ones included. Raises NameClash and the other errors of definition."""
        from tenantry.auth.procedures import routers
        from tenantry.ops import health_router
        from tenantry.tenancy import tenants_router, users_router

        table: dict[str, Procedure[..., Any]] = {}
        built_in = (users_router(), tenants_router(), health_router(self._probe), *routers(self._sign_in))
        for router in self._with_built_in(built_in):
            for procedure in router.procedures:
                other = table.setdefault(procedure.path, procedure)
                if other is not procedure:
                    raise NameClash(name=procedure.path, first=other.where, second=procedure.where)
                self._check_permission(procedure)
                procedure.surround((*self._middlewares, *router.middlewares))
        return table

    def mounts(self, base_path: str = "/trpc") -> list[Mount]:
        """Where the procedures are served: what `mount` was called with, or the one at `base_path`."""
        return list(self._mounts) or [Mount(path=base_path, transformer=self._transformer)]

    def _with_built_in(self, built_in: Iterable[Router[Any]]) -> Iterable[Router[Any]]:
        """A builder's router replaces the built-in procedures of its own names only; the rest stays."""
        yield from self._routers
        taken = {p.path for router in self._routers for p in router.procedures}
        for router in built_in:
            yield router.without(taken)

    def _check_permission(self, procedure: Procedure[..., Any]) -> None:
        need = procedure.need
        if need is not None and "." in need and need not in self._permissions:
            raise PermissionUnknown(procedure=procedure.path, permission=need, where=procedure.where)

    def _sign_in(self) -> SignIn | None:
        return None if self._state is None else self._state.dispatcher.road.auth

    def _probe(self) -> Health | None:
        return None if self._state is None else self._state.health

    @property
    def settings_type(self) -> type[Settings]:
        """What its settings are read into."""
        return self._settings_type

    def begin_drain(self) -> None:
        """Not ready from now on (`health.readiness` answers 503); requests are answered until `close`."""
        if self._state is not None:
            self._state.health.is_draining = True

    def usage(self) -> Usage:
        """How much of what is bounded is in use; zeros while it is not open."""
        state = self._state
        if state is None:
            return Usage()
        stats = state.pool.stats()
        return Usage(len(state.signals.store.places()), stats.busy, stats.size)

    @property
    def is_open(self) -> bool:
        """Whether requests are answered: between `open` and `close`."""
        return self._state is not None

    @property
    def handler(self) -> Served:
        """The http room's Application: what the native server serves."""
        if self._served is None:
            self._served = Served(self)
        return self._served

    async def open(self, settings: Settings | None = None) -> None:
        """Connect the pools and enter the resources. Raises StartError with the remedy; a second call does nothing."""
        if self._opening is None:
            self._opening = asyncio.Lock()
        async with self._opening:
            if self._state is None:
                self._state = await _Open.make(self, settings or self._settings_type.load())

    async def _open_as_guest(self) -> None:
        """Open under a stock ASGI server: with TENANTRY_OPS_PORT set the ops listener is in this worker."""
        await self.open()
        state = self._state
        if state is not None and state.settings.ops_port is not None:
            state.listen_for_ops()

    async def close(self, grace_seconds: float = 5.0) -> None:
        """Stop answering, let what runs end within the grace, then close pools and resources."""
        state, self._state = self._state, None
        if state is not None:
            await state.close(grace_seconds)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI 3: for stock servers, and for mounting inside FastAPI or Starlette."""
        if self._shell is None:
            from tenantry.http import AsgiShell

            self._shell = AsgiShell(self.handler, startup=self._open_as_guest, shutdown=self.close)
        await self._shell(scope, receive, send)


class Served:
    """An application as `http` sees it. Answers 503 before `open` and after `close`."""

    __slots__ = ("_app",)

    def __init__(self, app: Tenantry[Any]) -> None:
        self._app = app

    def __call__(self, request: Request, respond: Callable[[Response], None]) -> Running | None:
        """Answer one request."""
        state = self._app._state  # pyright: ignore[reportPrivateUsage]
        if state is None:
            respond(not_open())
            return None
        return state.handle(request, respond)

    def intake(self, path: str, headers: list[tuple[bytes, bytes]]) -> Intake:
        """How the body of a request is taken."""
        state = self._app._state  # pyright: ignore[reportPrivateUsage]
        if state is None:
            from tenantry.http import Intake

            return Intake(1 << 20)
        return state.dispatcher.intake(path, headers)

    def upgrade(self, request: Request) -> Response | Accept:
        """A request for a WebSocket."""
        state = self._app._state  # pyright: ignore[reportPrivateUsage]
        return not_open() if state is None else state.dispatcher.upgrade(request)


def _settings_of(factory: Callable[..., Any] | None) -> type[Settings]:
    """The class that a factory of resources takes, by the annotation of its first parameter."""
    if factory is None:
        return Settings
    function = inspect.unwrap(factory)
    parameters = list(inspect.signature(function).parameters)
    if not parameters:
        return Settings
    try:
        kind = get_type_hints(function).get(parameters[0])
    except NameError:
        return Settings
    return kind if isinstance(kind, type) and issubclass(kind, Settings) else Settings


def not_open() -> Response:
    """The answer of a server that is starting or stopping."""
    from tenantry.http import Response

    return Response(503, _NOT_OPEN, [(b"retry-after", b"1")])


class Usage(NamedTuple):
    """Metric series, and connections in use of all."""

    series: int = 0
    busy: int = 0
    size: int = 0


_NOT_OPEN = (
    b'{"error":{"message":"The server is starting or stopping","code":-32603,'
    b'"data":{"code":"SERVICE_UNAVAILABLE","httpStatus":503}}}'
)


class _Open:
    """What exists between `open` and `close`, made in one go and unmade in one go."""

    def __init__(self, settings: Settings, signals: Signals, stack: AsyncExitStack, resources: Any) -> None:
        self.settings = settings
        self.signals = signals
        self.stack = stack
        self.resources = resources
        self.pool: Pool
        self.accounts: Pool
        self.hub: Hub
        self.health: Health
        self.pulse: Pulse
        self.dispatcher: Dispatcher
        self.handle: Handler
        self.beside: dict[str, Callable[[Request, Callable[[Response], None]], None]]
        self.listener: OpsListener | None = None

    @classmethod
    async def make(cls, app: Tenantry[Any], settings: Settings) -> _Open:
        from tenantry.auth import cookies_of
        from tenantry.auth.opening import opened
        from tenantry.dispatch import Hooks, Road
        from tenantry.dispatch.watch import SessionWatch
        from tenantry.events import Hub
        from tenantry.ops import Access, Health, Pulse, memory_limit, wanted_migrations

        table = app.procedures()
        async with AsyncExitStack() as stack:
            slots, store = _slots(settings)
            stack.callback(slots.close)
            signals = Signals({path: procedure.type for path, procedure in table.items()}, store)
            lines = _lines(settings, signals, stack, {path: procedure.type for path, procedure in table.items()})
            recorder = _recorder(settings, lines, stack)
            resources = await stack.enter_async_context(_entered(app._resources_factory, settings))  # pyright: ignore[reportPrivateUsage]
            self = cls(settings, signals, stack, resources)
            if settings.database_url is None:
                raise DatabaseNotReady(
                    why="DATABASE_URL is not set", cure="Run it by: tenantry serve   (or set DATABASE_URL)"
                )
            urls = settings.urls()
            await self._open_pools(urls, stack)
            desk = None if recorder is None else _desk(settings, recorder, self.pool, stack)
            self.hub = Hub(self.pool, self.accounts, settings)
            self.hub.open()
            stack.push_async_callback(self.hub.close)
            signals.know_tables(name for (name,) in await self.pool.fetch(_GUARDED))
            tick = settings.tick
            self.pulse = pulse = Pulse(
                self.pool, signals, memory_limit=memory_limit(settings.memory_limit), tick_seconds=tick
            )
            pulse.start()
            stack.callback(pulse.stop)
            _note_tenants(self.pool, settings, stack)
            self.health = Health(
                urls.platform, slots, signals, wanted_migrations(settings),
                tick_seconds=tick, before=pulse.note, access=Access(settings.ops_token),
            )  # fmt: skip
            self.health.start()
            stack.callback(self.health.close)
            auth = opened(settings, self.accounts, signals)
            stack.push_async_callback(auth.close)
            watch = SessionWatch(self.accounts)
            stack.push_async_callback(watch.close)
            telemetry = _telemetry(settings, signals)
            if telemetry is not None:
                stack.callback(telemetry.close)
            road = Road(
                procedures=table,
                pool=self.pool,
                accounts=self.accounts,
                signals=signals,
                lines=lines if recorder is None else recorder,
                resources=resources,
                origins=frozenset(origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()),
                deadline_ms=settings.deadline_ms,
                batch_share=max(1, settings.pool_size // 2),
                is_development=settings.env == "development",
                watch=watch,
                asking_origins=auth.configuration.asking_origins,
                own_origin=auth.configuration.origin,
                session_cookies=cookies_of(auth.configuration.origin),
                auth=auth,
                hooks=Hooks(app._admission, app._error_data, app._response_meta),  # pyright: ignore[reportPrivateUsage]
                spans=None if telemetry is None else telemetry.spans,
                developer=desk,
            )
            self._serve(app, road, telemetry, desk)
            self._begin(table, stack)
            _open_door(settings, stack)
            self.stack = stack.pop_all()
        return self

    async def _open_pools(self, urls: Urls, stack: AsyncExitStack) -> None:
        """The pool of requests, and the one of accounts; closed last of all but the resources."""
        from tenantry.db import Pool
        from tenantry.db.migrate import no_table

        settings, signals = self.settings, self.signals
        queue, wait_ms = settings.pool_queue, settings.pool_wait_ms
        self.pool = Pool(
            urls.platform, size=settings.pool_size, queue=queue, wait_ms=wait_ms, signals=signals,
            shared=settings.connections_shared(), limits=_limits(settings),
        )  # fmt: skip
        self.accounts = Pool(
            urls.auth, size=settings.auth_pool_size, queue=queue, wait_ms=wait_ms, signals=signals, enters=False
        )
        self.pool.no_table = partial(no_table, settings.migrations)
        for pool in (self.pool, self.accounts):
            pool.deadline_ms = settings.deadline_ms
            pool.idle_seconds = settings.idle_in_transaction_ms / 1000
            if settings.slow_statement_ms >= 0:
                pool.slow_ms = settings.slow_statement_ms
            stack.push_async_callback(pool.close, 0.0)
            await pool.open()

    def _serve(self, app: Tenantry[Any], road: Road, telemetry: Telemetry | None, desk: Desk | None) -> None:
        """The mounts, the dispatcher, and what stands around it."""
        from tenantry.dispatch import Dispatcher
        from tenantry.dispatch.road import Place

        settings = self.settings
        places = [
            Place(
                mount, max_batch=settings.max_batch, max_body_bytes=settings.max_body_bytes,
                is_development=road.is_development,
            )
            for mount in app.mounts(settings.base_path)
        ]  # fmt: skip
        self.dispatcher = Dispatcher(road, places)
        self.beside = self._paths_beside()
        self.handle = self._with_beside if self.beside else self.dispatcher.handle
        if telemetry is not None:
            self.handle = telemetry.wrap(self.handle, tuple(place.prefix for place in places), road.procedures)
        if desk is not None:
            self.handle = desk.before(self.handle, road)

    def _paths_beside(self) -> dict[str, Callable[[Request, Callable[[Response], None]], None]]:
        """What is served beside procedures and sign-in, where it was asked for; otherwise a request pays nothing for it."""
        from tenantry.ops import METRICS_PATH, scrape

        found: dict[str, Callable[[Request, Callable[[Response], None]], None]] = {}
        if self.settings.public_metrics:
            found[METRICS_PATH] = lambda request, respond: respond(scrape(self.health, request))
        if self.settings.pagerduty_secret is not None:
            from tenantry.ops.incidents.pagerduty import PATH, Webhook

            found[PATH] = Webhook(self.settings.pagerduty_secret, self.settings.home).handle
        return found

    def _with_beside(self, request: Request, respond: Callable[[Response], None]) -> Running | None:
        """The dispatcher, with those paths before it."""
        answer = self.beside.get(request.path)
        if answer is None:
            return self.dispatcher.handle(request, respond)
        answer(request, respond)
        return None

    def _begin(self, table: dict[str, Procedure[..., Any]], stack: AsyncExitStack) -> None:
        """In development: tell what holds the loop, what holds a transaction over an outside call, and what an input has too much."""
        stack.callback(self.dispatcher.close)
        if self.settings.env != "development":
            return
        from tenantry.dev.unknown_keys import UnknownKeys
        from tenantry.dispatch.blocked import LoopWatch

        stack.callback(UnknownKeys(table.values()).close)
        self.pool.told_held_seconds = 0.1
        looking = LoopWatch(table)
        looking.start()
        stack.callback(looking.stop)

    def listen_for_ops(self) -> None:
        """The ops listener in this worker, where no supervisor has one; of several workers the first one's."""
        from tenantry.ops import OpsListener

        if self.listener is not None:
            return
        listener = OpsListener(self.settings, signals=self.signals)
        try:
            listener.start()
        except PortInUse as error:
            log.warning("no ops listener in this worker: %s", error.message)
            return
        self.listener = listener
        self.stack.callback(listener.stop)

    async def close(self, grace_seconds: float) -> None:
        self.dispatcher.drain()
        # First: what subscribers wait for does not come any more, and their clients go to another worker.
        await self.hub.close()
        await self.dispatcher.road.auth.upkeep.close()
        try:
            await asyncio.gather(self.pool.close(grace_seconds), self.accounts.close(grace_seconds))
        finally:
            # The resources last: what still ran until now may have used them.
            await self.stack.aclose()


def _slots(settings: Settings) -> tuple[Slots, Store | None]:
    """This worker's counts in the run directory, where the other processes find them; in memory if that cannot be."""
    from tenantry.ops import Slots

    slots = Slots(settings.home / "run")
    try:
        return slots, slots.claim()
    except OSError as error:
        why = error.strerror or type(error).__name__
        log.warning("metrics are of this worker alone, since TENANTRY_HOME cannot be written: %s", why)
        return slots, None


def _telemetry(settings: Settings, signals: Signals) -> Telemetry | None:
    """OpenTelemetry, where it is asked for. Raises OtelMissing."""
    if settings.otlp_endpoint is None:
        return None
    from tenantry.ops.metrics.collect import VERSION
    from tenantry.ops.otel import Telemetry

    return Telemetry(settings.otlp_endpoint, settings.service, VERSION, signals.store)


def _recorder(settings: Settings, lines: RequestLines, stack: AsyncExitStack) -> Recorder | None:
    """In development: what `/_dev` shows of the last requests. In production that room is not even imported."""
    if settings.env != "development":
        return None
    from tenantry.dev import Recorder

    recorder = Recorder(lines)
    stack.callback(recorder.close)
    return recorder


def _desk(settings: Settings, recorder: Recorder, pool: Pool, stack: AsyncExitStack) -> Desk:
    from tenantry.dev import Desk
    from tenantry.ops.metrics.collect import VERSION

    recorder.watch(pool)
    desk = Desk(settings, recorder, pool, VERSION)
    stack.callback(desk.close)
    return desk


def _limits(settings: Settings) -> Limits:
    """What one tenant may have of this worker."""
    from tenantry.db import Limits

    return Limits(settings.tenant_share / 100, settings.tenant_rate or 0, (settings.tenant_budget or 0) / 60)


def _note_tenants(pool: Pool, settings: Settings, stack: AsyncExitStack) -> None:
    """Write the noisiest tenants down, for `tenantry top`."""
    from tenantry.ops import TenantNotes

    notes = TenantNotes(pool, settings.home)
    notes.start()
    stack.callback(notes.stop)


def _open_door(settings: Settings, stack: AsyncExitStack) -> None:
    """For `tenantry heap`, `profile` and `slow`: a socket that sleeps until somebody knocks."""
    from tenantry.db.plan import known
    from tenantry.ops.inspect import Door
    from tenantry.ops.inspect.works import works

    door = Door(settings.home, works(known))
    door.start()
    stack.callback(door.stop)
    stack.callback(_keep_statements, settings)


def _keep_statements(settings: Settings) -> None:
    """At the end: so that `tenantry slow` knows whose statements those of before were."""
    from tenantry.db.plan import known
    from tenantry.ops.statements import keep_known

    with suppress(OSError):
        keep_known(settings.home, known())


def _lines(settings: Settings, signals: Signals, stack: AsyncExitStack, procedures: dict[str, str]) -> RequestLines:
    """The lines of this worker's calls, in the log of the process, or as a guest in another's."""
    from tenantry.logs import Log

    is_ours = Log.current() is None
    journal = Log.begin(
        settings.log, settings.log_level, owns_process=False, shows_text=settings.env == "development",
        secrets=settings.secrets(),
    )  # fmt: skip
    journal.counts(signals.error, lambda count: signals.count("log_lines_dropped_total", by=count))
    if is_ours:
        stack.callback(journal.end)
    return journal.lines(procedures, rate=settings.log_rate, slow_ms=settings.slow_statement_ms)


_GUARDED = "select relname::text from pg_catalog.pg_class where relrowsecurity and relnamespace = 'public'::pg_catalog.regnamespace"
"""Tables that have policies."""

RESOURCES_SECONDS = 10.0
"""How long a `resources` factory may take; longer would make a deploy hang without a word."""


def _own_names(settings: Settings) -> str:
    """The application's own settings, as they stand in `.env`."""
    own = [one.name for one in type(settings).describe() if one.attribute not in Settings.__struct_fields__]
    return ", ".join(own) or "it has none of its own"


def _told(error: Exception, settings: Settings) -> str:
    """What a factory raised, and where; its words, which may hold anything, while developing only and without secrets."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if "site-packages" not in one.filename]
    path = Path(frames[-1].filename) if frames else Path("?")
    place = f"{path.parent.name}/{path.name}:{frames[-1].lineno}" if frames else "?"
    words = f": {error}" if settings.env == "development" and str(error) else ""
    for secret in settings.secrets():
        words = words.replace(secret, "•••")
    return f"it raised {type(error).__name__} at {place}{words}"


@asynccontextmanager
async def _entered(
    factory: Callable[..., AbstractAsyncContextManager[Any]] | None, settings: Settings
) -> AsyncGenerator[Any]:
    """What the factory yields, or None without one. Raises ResourcesFailed, naming the factory."""
    if factory is None:
        yield None
        return
    name = getattr(factory, "__qualname__", repr(factory))
    manager = factory(settings) if inspect.signature(factory).parameters else factory()
    try:
        async with asyncio.timeout(RESOURCES_SECONDS):
            value = await manager.__aenter__()
    except TimeoutError:
        raise ResourcesFailed(
            factory=name, why=f"it took over {RESOURCES_SECONDS:.0f} s", settings=_own_names(settings)
        ) from None
    except Exception as error:
        raise ResourcesFailed(factory=name, why=_told(error, settings), settings=_own_names(settings)) from error
    try:
        yield value
    finally:
        await manager.__aexit__(None, None, None)

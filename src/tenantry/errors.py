"""Every error of Tenantry: one class a cause, and nothing else.

An error tells four things: what happened, to which thing, why, and what to do now. `code` is stable and is the name of its
page in `docs/reference/errors.md`; `trpc` is the name that a client sees (tRPC's table of codes, `tenantry.rpc.codes`);
`says` and `remedy` are templates over the error's own fields. Values go in fields, never a secret, a token, a bind value
or a row. Whether `says` may be shown to a client is `is_public`; otherwise the client hears a constant text and the
request id, and the log has the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, TypeVar, dataclass_transform

TrpcCode = Literal[
    "PARSE_ERROR",
    "BAD_REQUEST",
    "INTERNAL_SERVER_ERROR",
    "NOT_IMPLEMENTED",
    "BAD_GATEWAY",
    "SERVICE_UNAVAILABLE",
    "GATEWAY_TIMEOUT",
    "UNAUTHORIZED",
    "PAYMENT_REQUIRED",
    "FORBIDDEN",
    "NOT_FOUND",
    "METHOD_NOT_SUPPORTED",
    "TIMEOUT",
    "CONFLICT",
    "PRECONDITION_FAILED",
    "PAYLOAD_TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
    "UNPROCESSABLE_CONTENT",
    "PRECONDITION_REQUIRED",
    "TOO_MANY_REQUESTS",
    "CLIENT_CLOSED_REQUEST",
]


class TenantryError(Exception):
    """The base of all: `code`, `trpc`, `says`, `remedy`, `section`, and the fields that the templates name."""

    code: ClassVar[str] = "INTERNAL"
    trpc: ClassVar[TrpcCode] = "INTERNAL_SERVER_ERROR"
    says: ClassVar[str] = "Something failed inside the server."
    remedy: ClassVar[str] = ""
    section: ClassVar[str | None] = None
    is_public: ClassVar[bool] = False
    example: ClassVar[dict[str, Any]] = {}
    """Fields for its page: the words as they are said, of one case."""

    fields: dict[str, Any]

    def __init__(self, **fields: Any) -> None:
        self.fields = fields
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """What happened, in one line."""
        return self.says.format_map(self.fields)

    @property
    def advice(self) -> str:
        """What to do now; empty where there is nothing to do."""
        return self.remedy.format_map(self.fields)

    def __str__(self) -> str:
        where = self.fields.get("where")
        place = f"\nAt {where}" if where and where not in self.message else ""
        return f"{self.code} {self.message}" + (f"\n{self.advice}" if self.remedy else "") + place


# ------------------------------------------------------------------ what handlers raise, and clients see


class RpcError(TenantryError):
    """An error that a client is meant to see: `raise NotFound("No such note", field="id")`.

    `field` is the wire name of the input at fault; `data` is merged into the error's `data` (JSON values only).
    """

    is_public = True

    def __init__(
        self, message: str | None = None, *, field: str | None = None, data: dict[str, Any] | None = None
    ) -> None:
        self.text = message
        self.field = field
        self.data: dict[str, Any] = dict(data or {})
        super().__init__()

    @property
    def message(self) -> str:
        return self.says if self.text is None else self.text


class BadRequest(RpcError):
    code = trpc = "BAD_REQUEST"
    says = "The request is not valid."


class InvalidInput(BadRequest):
    """Input that does not fit the procedure's parameters.

    `data["issues"]` is a list of `{path: [str | int, …], code, message}`, all faults at once.
    """

    code = "INVALID_INPUT"
    says = "The input is not valid."


class Unauthorized(RpcError):
    code = trpc = "UNAUTHORIZED"
    says = "No active session - please sign in"
    section = "authentication-failures"


class CredentialRefused(Unauthorized):
    """A credential came, and it opens nothing: unknown, over, revoked, cut short. Counted by sender; its answer is UNAUTHORIZED's."""

    code = "CREDENTIAL_REFUSED"


class Forbidden(RpcError):
    code = trpc = "FORBIDDEN"
    says = "You may not do this."


class NoTenantSelected(Forbidden):
    code = "NO_TENANT"
    says = "No tenant selected"


class TenantSuspended(Forbidden):
    code = "TENANT_SUSPENDED"
    says = "This tenant is suspended."


class NotFound(RpcError):
    """No such row, as far as this caller's tenant goes. In a test of `tenantry.testing` a row of another tenant is told by a note:

    "The row exists, in tenant globex; you called as ann@acme.example, in acme. If that was the point, this test passes with
    pytest.raises(NotFound)." Over a wire nobody hears it.
    """

    code = trpc = "NOT_FOUND"
    says = "Not found."


class Conflict(RpcError):
    code = trpc = "CONFLICT"
    says = "This conflicts with what is there already."


class OtherTenant(Conflict):
    """The caller believes to be in another tenant than its session is in (`x-tenantry-tenant`)."""

    code = "OTHER_TENANT"
    says = "Your session is in another tenant than this page; reload it."


class KeyReused(RpcError):
    """An `Idempotency-Key` that stands for another request of the same member already."""

    code = "KEY_REUSED"
    trpc = "UNPROCESSABLE_CONTENT"
    says = "This Idempotency-Key was used for another request; take a new one for each."


class LastOwner(Conflict):
    code = "LAST_OWNER"
    says = "A tenant needs at least one owner."


class PaymentRequired(RpcError):
    code = trpc = "PAYMENT_REQUIRED"
    says = "Your plan does not cover this."


class PreconditionFailed(RpcError):
    code = trpc = "PRECONDITION_FAILED"
    says = "A condition for this is not met."


class PayloadTooLarge(RpcError):
    code = trpc = "PAYLOAD_TOO_LARGE"
    says = "The body is too large."


class UnsupportedMediaType(RpcError):
    code = trpc = "UNSUPPORTED_MEDIA_TYPE"
    says = "This content type is not supported."


class MethodNotSupported(RpcError):
    code = trpc = "METHOD_NOT_SUPPORTED"
    says = "This method is not supported here."


class TooManyRequests(RpcError):
    code = trpc = "TOO_MANY_REQUESTS"
    says = "Too many requests; try again later."

    retry_after: int = 0
    """Seconds, for the answer's `Retry-After`; 0 where nobody knows."""


class TooManyGuesses(TooManyRequests):
    """One sender presented too many credentials that open nothing. Good ones of the same sender are never refused for it."""

    code = "TOO_MANY_GUESSES"
    says = "Too many sessions or keys from here were not valid; try again later."

    def __init__(self, *, retry_after: int) -> None:
        """`retry_after` seconds from now the next one is looked at as before."""
        super().__init__()
        self.retry_after = retry_after


class ParseError(RpcError):
    code = trpc = "PARSE_ERROR"
    says = "The request cannot be read."


class ClientClosedRequest(RpcError):
    code = trpc = "CLIENT_CLOSED_REQUEST"
    says = "The client has gone."


@dataclass_transform(kw_only_default=True)
class Problem(RpcError):
    """A builder's own error with typed fields: the front end narrows by `data.reason`.

    class TooManyProjects(Problem, code="PAYMENT_REQUIRED"):
        says = "Your plan has room for {limit} projects."
        limit: int
    """

    names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, code: TrpcCode = "BAD_REQUEST", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.code = cls.__name__
        cls.trpc = code
        own = [n for n, a in cls.__annotations__.items() if not str(a).startswith(("ClassVar", "typing.ClassVar"))]
        cls.names = tuple(dict.fromkeys((*cls.names, *own)))

    def __init__(self, **values: Any) -> None:
        unknown, missing = (
            values.keys() - set(self.names),
            [n for n in self.names if n not in values and not hasattr(type(self), n)],
        )
        if unknown or missing:
            raise TypeError(f"{type(self).__name__} takes {', '.join(self.names) or 'no fields'}")
        for name in self.names:
            setattr(self, name, values.get(name, getattr(type(self), name, None)))
        super().__init__(self.says.format_map({n: getattr(self, n) for n in self.names}))
        self.data = {"reason": type(self).__name__, **{n: getattr(self, n) for n in self.names}}


# ------------------------------------------------------------------ the database on a bad day


class DatabaseUnavailable(RpcError):
    """No connection, or no answer: nothing was changed."""

    code = "DATABASE_UNAVAILABLE"
    trpc = "SERVICE_UNAVAILABLE"
    says = "The database does not answer; try again."
    section = "database-connection-issues"


class PoolFull(RpcError):
    """Every connection is in use and the queue is full, or the wait for one was too long. Nothing was sent."""

    code = "POOL_FULL"
    trpc = "SERVICE_UNAVAILABLE"
    says = "Connection pool is full"
    section = "connection-pool-exhaustion"


class TenantOverShare(TooManyRequests):
    """One tenant wants more than its share while others want theirs, or is over its rate or budget. Nothing was sent."""

    code = "TENANT_OVER_SHARE"
    says = "Too many requests of this tenant at once; try again a little later."

    def __init__(self, *, retry_after: int = 1) -> None:
        """`retry_after` seconds from now there is room again."""
        super().__init__()
        self.retry_after = retry_after


class DeadlineExceeded(RpcError):
    """The database did not answer in time; what ran was rolled back."""

    code = "DEADLINE_EXCEEDED"
    trpc = "TIMEOUT"
    says = "This took too long and was stopped; nothing was changed."


class UnknownOutcome(RpcError):
    """The connection was lost, or the deadline passed, after a commit was asked for and before it was acknowledged."""

    code = "UNKNOWN_OUTCOME"
    trpc = "TIMEOUT"
    says = "The connection was lost before the outcome was known; look before you try again."

    def __init__(
        self, message: str | None = None, *, field: str | None = None, data: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message, field=field, data={"outcome": "unknown", **(data or {})})


class EventsGone(RpcError):
    """The event to go on after is older than what is kept, or never was in this tenant: what came after it is not known whole."""

    code = "EVENTS_GONE"
    trpc = "PRECONDITION_FAILED"
    says = "The events since then are no longer kept: load what is shown anew, and subscribe without a last event id."


class SlowConsumer(RpcError):
    """A subscriber took events more slowly than they came. Its client reconnects by itself, and goes on after its last id."""

    code = "SLOW_CONSUMER"
    trpc = "SERVICE_UNAVAILABLE"
    says = "Events came faster than they were taken; go on after the last one."


class SubscriptionsClosed(RpcError):
    """The worker is stopping. The client reconnects to another one, and goes on after its last id."""

    code = "SUBSCRIPTIONS_CLOSED"
    trpc = "SERVICE_UNAVAILABLE"
    says = "This server is stopping; go on after the last event."


# ------------------------------------------------------------------ a builder's mistakes: code, words, cure


class BuilderError(TenantryError):
    """A mistake in an application's code or SQL. In production the client hears INTERNAL_SERVER_ERROR and the request id."""


class StatementNotRun(BuilderError):
    code = "STATEMENT_NOT_RUN"
    says = "{procedure} made a statement ({where}) and never ran it. All of the request was rolled back."
    remedy = "Write await before it, or return it."
    example: ClassVar[dict[str, Any]] = {"procedure": "notes.add", "where": "desk/notes.py:58"}


class SqlRefused(BuilderError):
    code = "SQL_REFUSED"
    says = "{procedure} ({where}): {why}."
    remedy = "{cure}"
    example: ClassVar[dict[str, Any]] = {
        "procedure": "notes.search", "where": "desk/notes.py:41", "why": 'column "titel" does not exist. Table notes has "title"',
        "cure": "Correct the name, or add the column: tenantry db new add_titel",
    }  # fmt: skip


class SqlBuiltAtRunTime(BuilderError):
    code = "SQL_BUILT_AT_RUN_TIME"
    says = "{procedure} ({where}) ran SQL that is not a constant: input could become SQL. It was not sent."
    remedy = 'Use $1, or: sql("… where title = {{}}", title)'
    example: ClassVar[dict[str, Any]] = {"procedure": "notes.find", "where": "desk/notes.py:33"}


class SqlType(BuilderError):
    code = "SQL_TYPE"
    says = "{procedure} ({where}): ${number} is {pg} in PostgreSQL, {name} is {python}."
    remedy = "{cure}"
    example: ClassVar[dict[str, Any]] = {
        "procedure": "notes.search", "where": "desk/notes.py:41", "number": 1, "pg": "uuid", "name": "project_id", "python": "str",
        "cure": "Annotate project_id as UUID.",
    }  # fmt: skip


class RowShape(BuilderError):
    code = "ROW_SHAPE"
    says = "{procedure}: {type} needs {missing}, the statement gives {given}."
    remedy = "{cure}"
    example: ClassVar[dict[str, Any]] = {
        "procedure": "notes.search", "where": "desk/notes.py:41", "type": "Note", "missing": "created_at", "given": "id, body",
        "cure": "Select created_at, or give Note.created_at a default.",
    }  # fmt: skip


class TooManyRows(BuilderError):
    code = "TOO_MANY_ROWS"
    says = "{procedure} ({where}): more than one row where one was meant. All of it was rolled back."
    remedy = "Narrow the condition, or use all()."


class IntTooWide(BuilderError):
    code = "INT_TOO_WIDE"
    says = "{procedure}: a value of column {column} is beyond 2^53-1 and would be rounded by JavaScript."
    remedy = "Annotate the field as tenantry.BigInt, or cast it to text."


class MigrationMissing(BuilderError):
    """`file` makes the table: `migrations/0003_comments.sql`."""

    code = "MIGRATION_MISSING"
    says = 'table "{table}" does not exist here; {file} makes it and is not applied.'
    remedy = "Run: tenantry db push"
    example: ClassVar[dict[str, Any]] = {"table": "comments", "file": "migrations/0003_comments.sql"}


class TransactionMixed(BuilderError):
    code = "TRANSACTION_MIXED"
    says = "{procedure} used ctx.db after ctx.transaction(): they would be two transactions."
    remedy = "Use one of them in a handler."


class TransactionFailed(BuilderError):
    code = "TRANSACTION_FAILED"
    says = "{procedure} went on after a statement had failed ({first}). All of the request was rolled back."
    remedy = "Let the error pass, or do what may fail in a block of its own: async with ctx.transaction() as tx: …"


class TransactionHeld(BuilderError):
    code = "TRANSACTION_HELD"
    says = "{procedure} held a transaction idle for {idle_ms} ms, and it was ended. All of the request was rolled back."
    remedy = "Do outside calls between short blocks: async with ctx.transaction() as tx: …"


class ConnectionLent(BuilderError):
    code = "CONNECTION_LENT"
    says = "{why}. All of the request was rolled back."
    remedy = "Inside the block use the lent connection only, and its transaction() for savepoints; the handler's end commits."


class ConnectionPooled(BuilderError):
    code = "CONNECTION_POOLED"
    says = "{procedure} asked for an ordinary connection, and DATABASE_URL is a transaction pooler, behind which it cannot be cleaned."
    remedy = "Use ctx.db, or give requests a DATABASE_URL without the pooler."


class NotBuiltYet(BuilderError):
    code = "NOT_BUILT_YET"
    says = "{name} is kept for background jobs, which do not exist yet."
    remedy = "Until then: run the work in the mutation, or from a process of your own that signs in with an API key."


class LoopBlocked(BuilderError):
    code = "LOOP_BLOCKED"
    says = "{procedure} held the worker for {ms} ms in {call} ({where}); every other request waited."
    remedy = "Use an async client, or: await ctx.thread({call}{arguments})"
    example: ClassVar[dict[str, Any]] = {
        "procedure": "notes.escalate", "ms": 412, "call": "requests.get", "where": "desk/notes.py:63", "arguments": ", url",
    }  # fmt: skip


class PublishRefused(BuilderError):
    code = "PUBLISH_REFUSED"
    says = "{procedure} cannot publish: {why}."
    remedy = "{cure}"


class EventShape(BuilderError):
    code = "EVENT_SHAPE"
    says = 'An event of "{topic}" does not fit {type}, which {procedure} subscribes to.'
    remedy = "Publish and subscribe with one type; give fields that came later a default."


class NotKnownYet(BuilderError):
    code = "NOT_KNOWN_YET"
    says = "ctx.{name} is not known before the first statement has run."
    remedy = "Await a statement first, or ask in SQL: tenantry.user_id(), tenantry.role(), tenantry.can('…')."


class UnknownRole(BuilderError):
    code = "UNKNOWN_ROLE"
    says = '{procedure} asks for role "{role}"; there are owner, admin, member.'
    remedy = 'For finer rights: app.permission("{procedure}", least="member", says="…"), then can="{procedure}"'
    example: ClassVar[dict[str, Any]] = {"procedure": "notes.add", "role": "editor", "where": "desk/notes.py:52"}


class PermissionUnknown(BuilderError):
    code = "PERMISSION_UNKNOWN"
    says = '{procedure} asks for can="{permission}", and no permission has that name.'
    remedy = 'Declare it: app.permission("{permission}", least="member", says="…")'


class NameClash(BuilderError):
    code = "NAME_CLASH"
    says = "{name} is defined at {first} and {second}."
    remedy = 'Rename one, or give it name="…".'
    example: ClassVar[dict[str, Any]] = {"name": "notes.add", "first": "desk/notes.py:52", "second": "desk/extra.py:9"}


class HandlerShape(BuilderError):
    code = "HANDLER_SHAPE"
    says = "{procedure} ({where}): {why}."
    remedy = "{cure}"


# ------------------------------------------------------------------ starting, settings, migrations


class StartError(TenantryError):
    """The server does not start, or a command does not run: the words go to the terminal, with exit code 1 or 2."""


class SettingsFaulty(StartError):
    """All faults at once: `faults` is a list of `(name, what is wrong, what to do)`."""

    code = "SETTINGS_FAULTY"
    says = "{count} of the settings cannot be used:\n{lines}"


class RoleTooStrong(StartError):
    code = "ROLE_TOO_STRONG"
    says = '{setting} signs in as "{role}", {why}, whom no policy binds. Not serving.'
    remedy = "Use platform: tenantry db url"
    section = "rls-policy-violations"
    example: ClassVar[dict[str, Any]] = {"setting": "DATABASE_URL", "role": "postgres", "why": "a superuser"}


class LogsBindValues(StartError):
    code = "LOGS_BIND_VALUES"
    says = "This server writes bind values into its log ({setting} = {value}): session tokens would stand there."
    remedy = (
        "As superuser: alter role platform in database {database} set log_parameter_max_length = 0;"
        " or set TENANTRY_ALLOW_LOGGED_BIND_VALUES=1 if the log is safe."
    )


class AppBroken(StartError):
    """The application's own code fails while it is loaded: a syntax error, a name that is not there. `excerpt` is the line at fault."""

    code = "APP_BROKEN"
    says = "{where}: {kind}: {why}{excerpt}"
    remedy = "Mend it; under serve --reload it is taken as soon as the file is saved, and what served before goes on until then."
    example: ClassVar[dict[str, Any]] = {
        "where": "desk/notes.py:12", "kind": "SyntaxError", "why": "'(' was never closed",
        "excerpt": "\n    return ctx.db.all(Note,\n                     ^",
    }  # fmt: skip


class ResourcesFailed(StartError):
    code = "RESOURCES_FAILED"
    says = "The resources of the application could not be opened: {factory}: {why}."
    remedy = "Look there, and at the settings that it reads: {settings}."


class PortInUse(StartError):
    code = "PORT_IN_USE"
    says = "Cannot listen on {host}:{port}: {why}."
    remedy = "Stop what uses it, or choose another: --port, or PORT=."


class AlreadyServing(StartError):
    code = "ALREADY_SERVING"
    says = "Process {pid} serves {home} already, on port {port}."
    remedy = "Put new code in place by: tenantry reload   End it by: tenantry stop   Serve beside it with another TENANTRY_HOME."


class RunFolderUnsafe(StartError):
    code = "RUN_FOLDER_UNSAFE"
    says = "The run directory {folder} cannot be used: {why}."
    remedy = "It must be a folder of the account that serves, and nobody else's: remove it, or set TENANTRY_HOME."


class DatabaseNotReady(StartError):
    code = "DATABASE_NOT_READY"
    says = "The database cannot be used: {why}."
    remedy = "{cure}"
    section = "database-connection-issues"


class MigrationFailed(StartError):
    code = "MIGRATION_FAILED"
    says = "{file}:{line} {why}\n{statement}\nNothing of this file was applied."
    remedy = "{cure}"


class MigrationChanged(StartError):
    code = "MIGRATION_CHANGED"
    says = "{file} was edited after it was applied on {applied_on:%Y-%m-%d}."
    remedy = "Restore the file, and put the change in a new migration."


class TableNotProtected(StartError):
    code = "TABLE_NOT_PROTECTED"
    says = '{file}:{line} makes table "{table}", and no policy guards it: every tenant could read every row. Nothing was changed.'
    remedy = "Add: select tenantry.protect('{table}');  If all tenants share it, read-only: select tenantry.share('{table}', 'why');"
    example: ClassVar[dict[str, Any]] = {"file": "0007_tags.sql", "line": 1, "table": "tags"}


class IsolationBroken(StartError):
    """A catalogue check of isolation failed; `defects` is a list of `{check, object, cure}`."""

    code = "ISOLATION_BROKEN"
    says = "Isolation does not hold on this database:\n{lines}"
    remedy = "Run: tenantry db push   (it repairs policies, row security and get_current_tenant_id)"
    section = "rls-policy-violations"


class VerifyImpossible(StartError):
    """`tenantry verify` could not look, or could not try: nothing is proved either way."""

    code = "VERIFY_IMPOSSIBLE"
    says = "Isolation could not be judged: {why}."
    remedy = "{cure}"
    section = "rls-policy-violations"


class ProtectImpossible(StartError):
    """`tenantry db protect` cannot go on; what was done so far stays done, and the next run goes on from there."""

    code = "PROTECT_IMPOSSIBLE"
    says = "{table} cannot be protected this way: {why}."
    remedy = "{cure}"
    section = "rls-policy-violations"


Kind = TypeVar("Kind", bound=TenantryError)


def kinds_of(base: type[Kind]) -> Iterator[type[Kind]]:
    """Every class below `base` that is defined so far, a class before those below it."""
    for kind in base.__subclasses__():
        yield kind
        yield from kinds_of(kind)

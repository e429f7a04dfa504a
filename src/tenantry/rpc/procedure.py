"""A procedure: a handler, with what its signature says about input, result and rights.

The first parameter is the context, all others are the input. A plain `def` returns its statement (annotated
`-> Statement[…]`) and is run in one trip; an `async def` awaits; an `async def` with `yield` is a stream of values (every
subscription is one). All are checked when the procedure is defined, so that a mistake stops the start and not a request.
"""

from __future__ import annotations

import dis
import inspect
import typing
from collections.abc import Callable
from types import CodeType
from typing import Any, Generic, Literal, ParamSpec, TypeVar

from msgspec import Raw

from tenantry.errors import HandlerShape, NameClash, UnknownRole
from tenantry.identity import ROLES
from tenantry.rpc.names import camel
from tenantry.rpc.patches import fault_of_patches
from tenantry.rpc.schema import InputSchema, OutputSchema, fault_of
from tenantry.rpc.tracked import Tracked
from tenantry.source import place

P = ParamSpec("P")
R = TypeVar("R")
Type = Literal["query", "mutation", "subscription"]
Scope = Literal["tenant", "person", "public"]

_output = OutputSchema()


_WAITING = frozenset(
    {"GET_AWAITABLE", "GET_AITER", "GET_ANEXT", "BEFORE_ASYNC_WITH", "SETUP_ASYNC_WITH", "SEND", "YIELD_FROM"}
)


def _waits(code: CodeType) -> bool:
    """Whether there is an `await`, an `async for` or an `async with` in an `async def`: without one it never lets go."""
    return any(step.opname in _WAITING for step in dis.get_instructions(code))


class Procedure(Generic[P, R]):
    """Made by `Router.query` and `Router.mutation`; `path` is its name on the wire."""

    __slots__ = (
        "as_written",
        "can",
        "deadline_ms",
        "decode",
        "docs",
        "encode",
        "extend",
        "handler",
        "input",
        "is_async",
        "is_generator",
        "is_simple",
        "kind",
        "max_age",
        "max_bytes",
        "may_defer",
        "middleware",
        "need",
        "never_waits",
        "path",
        "result_type",
        "scope",
        "takes_input",
        "type",
        "where",
        "yields",
    )  # fmt: skip

    def __init__(
        self,
        handler: Callable[..., Any],
        *,
        path: str,
        type: Type,  # noqa: A002 - tRPC's word
        scope: Scope,
        role: str | None,
        can: str | None,
        deadline_ms: int | None,
        as_written: bool,
        max_bytes: int | None = None,
        max_age: int | None = None,
    ) -> None:
        code = handler.__code__
        self.path = path
        self.type: Type = type
        self.scope: Scope = scope
        self.handler = handler
        self.where = place(code.co_filename, code.co_firstlineno)
        self.is_generator = inspect.isasyncgenfunction(handler)
        self.is_async = self.is_generator or inspect.iscoroutinefunction(handler)
        self.never_waits = scope == "public" and self.is_async and not self.is_generator and not _waits(code)
        """Whether the handler is over with its first step, and so needs no task. Of a tenant's, the database has to be waited for."""
        self.max_age = max_age
        """Seconds that a client may keep the answer of a GET: `private`, and `public` for a public procedure. None: not at all."""
        self.max_bytes = max_bytes
        """The most bytes of an uploaded form or byte stream; None: the mount's limit."""
        self.docs = inspect.getdoc(handler) or ""
        self.deadline_ms = deadline_ms
        self.as_written = as_written
        self.extend: Callable[[Any], Any] | None = None
        """Makes the router's own context of the ordinary one; None: it has none."""
        self.middleware: tuple[Callable[..., Any], ...] = ()
        """What runs around the handler, the outermost first: the application's, then its router's."""
        if role is not None and role not in ROLES:
            raise UnknownRole(procedure=path, role=role, where=self.where)
        self.need = None if scope != "tenant" else can or role or "member"
        self._read_signature()

    def _read_signature(self) -> None:
        handler, path = self.handler, self.path
        try:
            hints = typing.get_type_hints(handler, include_extras=True)
        except NameError as error:
            raise HandlerShape(
                procedure=path, where=self.where, why=f"an annotation cannot be read: {error}",
                cure="Import the name where the module runs, not only under TYPE_CHECKING.",
            ) from None  # fmt: skip
        parameters = list(inspect.signature(handler).parameters.values())
        if not parameters:
            raise HandlerShape(
                procedure=path, where=self.where, why="it takes no context", cure="Give it a first parameter: ctx: Ctx"
            )
        for parameter in parameters[1:]:
            if parameter.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
                raise HandlerShape(
                    procedure=path, where=self.where, why=f"{parameter.name} is not an ordinary parameter",
                    cure="Take each input by its own name, without * or /.",
                )  # fmt: skip
            if parameter.name not in hints:
                raise HandlerShape(
                    procedure=path, where=self.where, why=f"{parameter.name} has no type", cure="Annotate it."
                )
        self.result_type = hints.get("return", Any)
        self.yields = self._yielded()
        if not self.is_async and not hasattr(typing.get_origin(self.result_type), "__tenantry_statement__"):
            raise HandlerShape(
                procedure=path, where=self.where, why="it is a plain def that returns no statement",
                cure="Write async def, or annotate it -> Statement[…] and return ctx.db.one(…).",
            )  # fmt: skip
        fault = fault_of(parameters[1:], hints) or fault_of_patches(handler.__code__, hints)
        if fault is not None:
            raise HandlerShape(procedure=path, where=self.where, why=fault[0], cure=fault[1])
        wire: dict[str, str] = {}
        for parameter in parameters[1:]:
            other = wire.setdefault(parameter.name if self.as_written else camel(parameter.name), parameter.name)
            if other != parameter.name:
                raise NameClash(
                    name=f"{path}: {camel(other)}", first=f"parameter {other}", second=f"parameter {parameter.name}"
                )
        try:
            self.input = InputSchema.of(parameters[1:], hints, as_written=self.as_written)
        except (TypeError, ValueError) as error:  # msgspec's own words, or ours of annotated-types
            raise HandlerShape(
                procedure=path, where=self.where, why=f"its input cannot be checked: {str(error).rstrip('.')}",
                cure="Take a bound that its type has (Meta, Ge, Gt, Le, Lt, Interval, MultipleOf, Len), and ask the rest in the handler.",
            ) from error  # fmt: skip
        self.input.is_strict_text = self.scope != "public"
        self.kind = self._kind()
        self.may_defer = self.is_async
        """Whether a part of the result may come later: never of rows."""
        self.takes_input = self.input.kind != "none"
        self.is_simple = not self.is_generator and self.input.stream is None
        """Whether nothing runs around the handler: then it may do without a task."""
        # Bound once: these two run for every request.
        self.decode: Callable[[bytes | Raw | None], tuple[Any, ...]] = self.input.decode
        self.encode: Callable[[Any], bytes] = _output.encode

    def surround(self, middleware: tuple[Callable[..., Any], ...]) -> None:
        """Run these around the handler."""
        self.middleware = middleware
        if middleware or self.extend is not None:
            self.is_simple = False

    def _kind(self) -> Any:
        """The type of the value that is encoded: of a statement its rows, of a stream one value, without its id."""
        kind = self.yields if self.is_generator else self.result_type
        arms = typing.get_args(kind)
        if arms and (hasattr(typing.get_origin(kind), "__tenantry_statement__") or typing.get_origin(kind) is Tracked):
            return arms[0]
        return Any if kind is Tracked else kind

    def _yielded(self) -> Any:
        """What a generator yields, from `-> AsyncIterator[T]` (or AsyncIterable, AsyncGenerator); None for others."""
        if not self.is_generator:
            if self.type == "subscription":
                raise HandlerShape(
                    procedure=self.path, where=self.where, why="a subscription is an async def with yield",
                    cure="Write: async def …(ctx: Ctx) -> AsyncIterator[T]: … yield value",
                )  # fmt: skip
            return None
        arms = typing.get_args(self.result_type)
        return arms[0] if arms else Any

    def __repr__(self) -> str:
        return f"<{self.type} {self.path} ({self.where})>"

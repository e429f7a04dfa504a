"""Routers: the names under which procedures are found.

`@notes.query` and `@notes.mutation(role="admin")` take a handler and give a `Procedure`. A name that is taken, or that
tRPC's client proxy keeps for itself, is refused where it is defined.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Container
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, Protocol, overload

from tenantry.errors import NameClash
from tenantry.rpc.names import RESERVED, camel
from tenantry.rpc.procedure import Procedure, Scope, Type

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    C = TypeVar("C", default=Any)
    Own_co = TypeVar("Own_co", covariant=True)
else:
    from typing import TypeVar

    C = TypeVar("C")
    Own_co = TypeVar("Own_co", covariant=True)
P = ParamSpec("P")
R = TypeVar("R")


class Decorate(Protocol[Own_co]):
    """What `@router.query(…)` with arguments gives: the decorator itself."""

    @overload
    def __call__(self, handler: Callable[Concatenate[Own_co, P], Awaitable[R]], /) -> Procedure[P, R]: ...
    @overload
    def __call__(
        self, handler: Callable[Concatenate[Own_co, P], AsyncIterator[R]], /
    ) -> Procedure[P, AsyncIterator[R]]: ...


class DecorateStream(Protocol[Own_co]):
    """What `@router.subscription(…)` with arguments gives."""

    def __call__(
        self, handler: Callable[Concatenate[Own_co, P], AsyncIterator[R]], /
    ) -> Procedure[P, AsyncIterator[R]]: ...


Around = TypeVar("Around", bound=Callable[..., Awaitable[object]])


class Router(Generic[C]):
    """A named group of procedures. `case` is `camel` (Python's `as_csv` is `asCsv` on the wire) or `as_written`.

    `ctx` makes the context that its handlers take, of the ordinary one; `public` holds for all of its procedures.
    """

    def __init__(
        self, name: str, *, case: Literal["camel", "as_written"] = "camel",
        ctx: Callable[[Any], C | Awaitable[C]] | None = None, public: bool = False,
    ) -> None:  # fmt: skip
        self.as_written = case == "as_written"
        self.name = name if self.as_written else ".".join(camel(part) for part in name.split("."))
        self.procedures: list[Procedure[..., Any]] = []
        self.extend = ctx
        self.is_public = public
        self.middlewares: list[Callable[..., Any]] = []
        if name:
            self._check(self.name.rsplit(".", 1)[-1], "this router")

    def middleware(self, around: Around, /) -> Around:
        """Run `around` around each procedure of this router: `async def m(ctx, call: Call, next: Next) -> object`.

        In the order of declaration, the application's own before the router's. `await next()` goes on, and gives the result after
        its commit; what it raises was undone. What a middleware raises after `next()` is raised after the commit.
        """
        self.middlewares.append(around)
        return around

    @overload
    def query(self, handler: Callable[Concatenate[C, P], Awaitable[R]], /) -> Procedure[P, R]: ...
    @overload
    def query(self, handler: Callable[Concatenate[C, P], AsyncIterator[R]], /) -> Procedure[P, AsyncIterator[R]]: ...
    @overload
    def query(
        self, *, role: str | None = None, can: str | None = None, name: str | None = None,
        deadline_ms: int | None = None, scope: Scope = "tenant", public: bool = False, max_age: int | None = None,
    ) -> Decorate[C]: ...  # fmt: skip

    def query(self, handler: Callable[..., Any] | None = None, /, **options: Any) -> Any:  # pyright: ignore[reportInconsistentOverload] - options are listed above
        """A procedure that reads: called by GET, and its transaction is READ ONLY in PostgreSQL itself.

        `role` is the least role, `can` a permission, `public` needs nobody signed in, `name` the wire's name. `max_age` is how
        many seconds the answer of a GET may be kept, by the caller alone; of a public procedure, by anyone.
        """
        return self._define("query", handler, options)

    @overload
    def mutation(self, handler: Callable[Concatenate[C, P], Awaitable[R]], /) -> Procedure[P, R]: ...
    @overload
    def mutation(
        self, *, role: str | None = None, can: str | None = None, name: str | None = None, max_bytes: int | None = None,
        deadline_ms: int | None = None, scope: Scope = "tenant", public: bool = False,
    ) -> Decorate[C]: ...  # fmt: skip

    def mutation(self, handler: Callable[..., Any] | None = None, /, **options: Any) -> Any:  # pyright: ignore[reportInconsistentOverload] - options are listed above
        """A procedure that writes: called by POST, answered after its commit is acknowledged. Options as for `query`.

        `max_bytes` bounds an uploaded form or byte stream.
        """
        return self._define("mutation", handler, options)

    @overload
    def subscription(
        self, handler: Callable[Concatenate[C, P], AsyncIterator[R]], /
    ) -> Procedure[P, AsyncIterator[R]]: ...
    @overload
    def subscription(
        self, *, role: str | None = None, can: str | None = None, name: str | None = None, scope: Scope = "tenant",
        public: bool = False,
    ) -> DecorateStream[C]: ...  # fmt: skip

    def subscription(self, handler: Callable[..., Any] | None = None, /, **options: Any) -> Any:  # pyright: ignore[reportInconsistentOverload] - options are listed above
        """A stream of values, by server-sent events or a WebSocket: an `async def` that yields values or `Tracked` ones.

        It runs until it returns, the client goes, or its session ends; `finally` runs in each case. A parameter
        `last_event_id: str | None = None` gets the id of the last tracked value that a returning client saw.
        """
        return self._define("subscription", handler, options)

    def _define(self, type_: Type, handler: Callable[..., Any] | None, options: dict[str, Any]) -> Any:
        if handler is None:
            return partial(self._add, type_, **options)
        return self._add(type_, handler)

    def _add(
        self,
        type_: Type,
        handler: Callable[..., Any],
        *,
        role: str | None = None,
        can: str | None = None,
        name: str | None = None,
        deadline_ms: int | None = None,
        max_bytes: int | None = None,
        max_age: int | None = None,
        scope: Scope = "tenant",
        public: bool = False,
    ) -> Procedure[..., Any]:
        own = name or (handler.__name__ if self.as_written else camel(handler.__name__))
        self._check(own, f"{handler.__module__}.{handler.__name__}")
        procedure: Procedure[..., Any] = Procedure(
            handler, path=f"{self.name}.{own}" if self.name else own, type=type_, scope="public" if public or self.is_public else scope,
            role=role, can=can, deadline_ms=deadline_ms, as_written=self.as_written, max_bytes=max_bytes, max_age=max_age,
        )  # fmt: skip
        procedure.extend = self.extend
        other = next((p for p in self.procedures if p.path == procedure.path), None)
        if other is not None:
            raise NameClash(name=procedure.path, first=other.where, second=procedure.where)
        self.procedures.append(procedure)
        return procedure

    def without(self, paths: Container[str]) -> Router[Any]:
        """The same router less the procedures of those paths."""
        rest: Router[Any] = Router(self.name, case="as_written")
        rest.middlewares = self.middlewares
        rest.procedures = [p for p in self.procedures if p.path not in paths]
        return rest

    @staticmethod
    def _check(name: str, where: str) -> None:
        if name in RESERVED:
            raise NameClash(name=name, first="tRPC's client", second=where)

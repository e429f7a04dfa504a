"""`Statement`: a statement that was made and not yet run. Returned from a handler it runs in one trip; awaited, at once.

For type checkers it is a coroutine, so that both strict checkers and editors find a forgotten `await`; at run time it is this
small class, and one that was never run fails the request (STATEMENT_NOT_RUN).
"""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from tenantry.db.plan import Plan
    from tenantry.db.session import Session

R = TypeVar("R")


class Prepared(Coroutine[Any, Any, Any]):
    """What `ctx.db.one(…)` and its kind give, at run time."""

    __tenantry_statement__ = True
    __slots__ = ("_coroutine", "is_run", "plan", "session", "topics", "values")

    def __init__(self, session: Session, plan: Plan, values: tuple[Any, ...]) -> None:
        """Made by Session only."""
        self.session = session
        self.plan = plan
        self.values = values
        self.is_run = False
        self.topics: tuple[str, ...] = ()
        """What its SQL publishes by itself, so that subscribers are told when it has committed."""
        self._coroutine: Coroutine[Any, Any, Any] | None = None

    def _started(self) -> Coroutine[Any, Any, Any]:
        if self._coroutine is None:
            self._coroutine = self.session.execute(self)
        return self._coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._started().__await__()

    def send(self, value: Any, /) -> Any:
        """Go on, as a coroutine does."""
        return self._started().send(value)

    def throw(self, *error: Any) -> Any:
        """Raise inside, as a coroutine does."""
        return self._started().throw(*error)

    def close(self) -> None:
        """Give it up; one that was never begun is simply dropped."""
        if self._coroutine is not None:
            self._coroutine.close()

    def __class_getitem__(cls, item: Any) -> types.GenericAlias:
        """`Statement[Note]` in an annotation."""
        return types.GenericAlias(cls, item)


if TYPE_CHECKING:
    Statement: TypeAlias = Coroutine[Any, Any, R]
else:
    Statement = Prepared

"""What travels between the two halves of this room: a trip, who enters with it, and what became of it.

A trip is what lies up to one Sync: `enter`, perhaps a verb, perhaps one statement. The lower half (connection, pool) carries
it and knows wire and outcome; the upper half (session, plan) makes it and knows types. Nothing here does I/O.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from msgspec import Struct

from tenantry.db.pace import Pace
from tenantry.identity import IdentityId, Membership, TenantId, UserId

if TYPE_CHECKING:
    from psycopg.pq import abc

    from tenantry.db.connection import Connection
    from tenantry.db.shares import Share
    from tenantry.errors import TenantryError


class Outcome(Enum):
    """What is known of a trip's transaction."""

    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    UNKNOWN = "unknown"


class Entry(Struct, frozen=True):
    """Who enters, and what must be decided before the handler's statement: the arguments of `tenantry.enter`."""

    credential: bytes
    read_only: bool
    need: str | None
    tenant: UUID | None
    procedure: str
    deadline_ms: int


class Shape(Struct, frozen=True):
    """What PostgreSQL says of a statement: OIDs of its parameters, names and type OIDs of its columns."""

    params: tuple[int, ...]
    columns: tuple[tuple[str, int], ...]


_keys = itertools.count(1)


class Query:
    """One statement text of this process. `shape` is known after the first Describe, on whatever connection."""

    __slots__ = ("key", "pace", "shape", "text")

    def __init__(self, text: str) -> None:
        self.key = next(_keys)
        self.text = text.encode()
        self.shape: Shape | None = None
        self.pace = Pace()


Kind = Literal["server", "lost", "deadline", "cancelled", "pool_full", "over_share", "unavailable"]


class WireFailure(Struct, frozen=True):
    """Why a trip failed: PostgreSQL's own words by field, or what befell the connection (`kind` other than "server")."""

    kind: Kind
    outcome: Outcome
    sqlstate: str = ""
    message: str = ""
    severity: str = "ERROR"
    detail: str = ""
    hint: str = ""
    constraint: str = ""
    schema: str = ""
    table: str = ""
    column: str = ""
    position: int = 0
    source_function: str = ""


class WireError(Exception):
    """A WireFailure on its way through `await`."""

    def __init__(self, failure: WireFailure) -> None:
        self.failure = failure
        super().__init__(failure.sqlstate or failure.kind)


Verb = Literal["", "BEGIN", "BEGIN_REPEATABLE_READ", "COMMIT", "ROLLBACK"]


class Trip:
    """One trip. `done(trip)` is called exactly once, by the connection's reader or at once when nothing can be sent."""

    __slots__ = (
        "connection", "deadline", "describes", "done", "endings", "entered", "entry", "error", "failure", "formats", "params", "query",
        "repeats", "result", "sent_at", "share", "ticket", "value", "verb", "waits_until",
    )  # fmt: skip

    def __init__(
        self,
        done: Callable[[Trip], None],
        *,
        entry: Entry | None = None,
        query: Query | None = None,
        params: list[bytes | None] | None = None,
        formats: list[Any] | None = None,
        verb: Verb = "",
        deadline_ms: int = 0,
    ) -> None:
        self.done = done
        self.entry = entry
        self.query = query
        self.params = params
        self.formats = formats
        """0 (text) or 1 (binary) for each parameter."""
        self.verb: Verb = verb
        self.deadline: float = deadline_ms
        """Milliseconds until submitted; then the loop's time at which it is stopped. 0: the pool's own."""
        self.waits_until = 0.0
        self.describes = False
        self.repeats = 0
        self.endings = 0
        """How many connections were ended under it by an operator, before it had done anything."""
        self.share: Share | None = None
        """Whose it is, once submitted."""
        self.connection: Connection | None = None
        """Where it ran. After a trip with a BEGIN it stays leased, until a COMMIT or ROLLBACK or an error."""
        self.sent_at = 0.0
        """When it left (`time.perf_counter`); 0 while it waits for a connection."""
        self.ticket = 0
        """Which lease of the connection: the one that `Connection.go_on` asks for."""
        self.entered: abc.PGresult | None = None
        self.result: abc.PGresult | None = None
        self.failure: WireFailure | None = None
        self.error: TenantryError | None = None
        self.value: Any = None

    @property
    def outcome(self) -> Outcome:
        """What became of its transaction; of a trip inside an open one, what became of the trip."""
        return Outcome.COMMITTED if self.failure is None else self.failure.outcome

    @property
    def membership(self) -> Membership | None:
        """Who entered; None for a trip without an entry, or that failed. Decoded when asked: most never ask."""
        return None if self.entered is None else membership_of(self.entered)


def membership_of(entered: abc.PGresult) -> Membership:
    """Who entered, decoded from the answer of `enter`. Costs 5 us: a one-statement request does without."""
    tenant, user, identity, role = (entered.get_value(0, column) or b"" for column in range(4))
    return Membership(
        TenantId(UUID(bytes=tenant)),
        UserId(UUID(bytes=user)),
        IdentityId(UUID(bytes=identity)),
        role.decode(),  # pyright: ignore[reportArgumentType] - enter gives a role
    )

"""What a drill is, and what came of it, as values. A fault's declaration stands in `faults/`; how it is run, in `perform.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, field

from tenantry.errors import StartError

if TYPE_CHECKING:
    from tenantry.drills.stage import Stage

Variant = Literal["own", "proxied", "small"]
"""How the drill's API is served: straight to its database, through the fault proxy, or with its data on a small disk."""
Do = Callable[["Stage"], Awaitable[None]]


class NotOurs(StartError):
    """A drill breaks things: it runs on the installation that it made itself, and on no other."""

    code = "DRILL_NOT_OURS"
    says = "This is not the drill's own installation: {why}. Nothing was injected."
    remedy = "Run it as it comes: tenantry drill run NAME makes an installation of its own in a temporary folder."


class NoSuchDrill(StartError):
    """Nothing is called that."""

    code = "NO_SUCH_DRILL"
    says = "There is no drill {name}."
    remedy = "See: tenantry drill list"


class StageFailed(StartError):
    """The throw-away installation did not come up, or did not become healthy again."""

    code = "DRILL_STAGE_FAILED"
    says = "The drill's installation is not usable: {why}."
    remedy = "Read {log}; run again with --keep to look into it."


class Drill(Struct, frozen=True):
    """One fault. `number` is its line in the table of faults; times are of a tick of 15 s, and shrink with it."""

    number: int
    name: str
    says: str
    inject: Do
    undo: Do
    """Takes the fault away; may be run when it is gone already."""
    seen: Callable[[Mapping[str, Any]], bool] | None = None
    """Whether an answer of `health.check` shows it; None where health rightly shows nothing."""
    alerts: Mapping[str, float] = {}
    """Alerts that must fire, with the seconds in which they do."""
    quiet: tuple[str, ...] = ()
    """Alerts that must not."""
    pages: bool = False
    causes: tuple[str, ...] = ()
    """What the doctor must name first: one of these."""
    symptom: Callable[[Stage], bool] | None = None
    """A sign elsewhere than in health and alerts (a counter, a silence): waited for before the doctor is asked."""
    variant: Variant = "own"
    spares_others: bool = False
    """Whether a tenant that has nothing to do with it must lose no request."""
    wait_seconds: float = 0.0
    """Between the fault and the doctor at least: what needs an age to be evidence."""
    needs: Callable[[], str | None] = lambda: None
    """Why it cannot be run on this machine; None where it can."""
    heals_alone: bool = False
    """The fault is over by itself; the doctor need not be in time for it."""


class Outcome(Struct):
    """What was measured; seconds since the fault, None where it did not happen or was not asked."""

    number: int
    name: str
    says: str
    seen_seconds: float | None = None
    alert_seconds: dict[str, float] = field(default_factory=dict[str, float])
    page_seconds: float | None = None
    cause: str | None = None
    rank: int | None = None
    """Of the cause among what the doctor found, 1 is first; what it said before the fault is left out."""
    doctor_seconds: float | None = None
    """How long the doctor took."""
    diagnosed_seconds: float | None = None
    repaired_by: str = ""
    healed_seconds: float | None = None
    """From the repair to `healthy`."""
    requests: int = 0
    lost: int = 0
    """Of the tenant that the fault meets."""
    others_requests: int = 0
    others_lost: int = 0
    skipped: str = ""
    """Why it was not run here."""
    faults: list[str] = field(default_factory=list[str])
    """What was not as it must be; [] is a drill that went well."""

    @property
    def is_well(self) -> bool:
        """Whether everything was as it must be."""
        return not self.faults

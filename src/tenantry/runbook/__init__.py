"""The runbook as a program: `tenantry doctor` looks, finds causes with their evidence, proposes, does what is approved, and checks.

One module a section in `sections/`, one file a kind of probe in `probes/`. `diagnose.py` looks (with deadlines) and thinks (pure),
`fix.py` does. An application adds a section of its own in one file: `@runbook.section` on a function that gives a `Section`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.resources import files

from tenantry.runbook.diagnose import Diagnosis, chosen, diagnose
from tenantry.runbook.fix import Done, fix
from tenantry.runbook.model import (
    Cause,
    Evidence,
    Facts,
    Finding,
    Look,
    NotApplicable,
    Probe,
    Remedy,
    Section,
    Seen,
    Verdict,
    Verification,
)  # fmt: skip
from tenantry.runbook.opening import open_place
from tenantry.runbook.place import Place

__all__ = [
    "Cause", "Diagnosis", "Done", "Evidence", "Facts", "Finding", "Look", "NotApplicable", "Place", "Probe", "Remedy", "Section", "Seen",
    "Verdict", "Verification", "chosen", "diagnose", "fix", "open_place", "section", "sections",
]  # fmt: skip

import_module(
    "tenantry.runbook.sections"
)  # now: the first import of a folder sets its name here, which is the function's below
_added: dict[str, tuple[str, Section]] = {}


def section(make: Callable[[], Section]) -> Callable[[], Section]:
    """Add a section of the application's own: a function that gives it, called once. Raises ValueError for a slug that is taken."""
    made, where = make(), f"{make.__module__}.{make.__qualname__}"
    taken = [one.slug for one in sections() if (where, one.slug) != (_added.get(one.slug, ("",))[0], one.slug)]
    if made.slug in taken:
        message = f"there is a section {made.slug} already"
        raise ValueError(message)
    _added[made.slug] = (where, made)
    return make


def sections() -> list[Section]:
    """All sections: ours in the order of their files, then the application's."""
    names = sorted(
        entry.name.removesuffix(".py")
        for entry in files("tenantry.runbook.sections").iterdir()
        if entry.name.startswith("s") and entry.name.endswith(".py")
    )
    own: list[Section] = [import_module(f"tenantry.runbook.sections.{name}").SECTION for name in names]
    return [*own, *(made for _, made in _added.values())]

"""The golden files: `python -m tests.typescript.goldens` writes them anew, after a change that is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tenantry import Tenantry
from tenantry.rpc import Procedure
from tenantry.rpc.typescript import declarations
from tests.clients import trpc_fixture as fixture
from tests.typescript import kit_sample
from tests.typescript.everything import ErrorExtras, Locked, TooManyNotes, application

FOLDER = Path(__file__).parent


def own(app: Tenantry[None]) -> dict[str, Procedure[..., Any]]:
    """The application's procedures without the built-in ones, which grow with Tenantry."""
    built_in = Tenantry[None]().procedures()
    return {path: procedure for path, procedure in app.procedures().items() if path not in built_in}


def golden_texts() -> dict[str, str]:
    """File → text."""
    table = own(application())
    problems = [TooManyNotes, Locked]
    return {
        "golden/plain.d.ts": declarations(table, problems=problems, error_data=ErrorExtras),
        "golden/superjson.d.ts": declarations(table, transformer="superjson", problems=problems),
        "golden/fixture.d.ts": declarations(own(fixture.app), error_data=fixture.Fields),
        # By the name and at the place where the kit's own check looks for it.
        "kit/types-sample.d.ts": declarations(own(kit_sample.application()), error_data=kit_sample.Fields),
    }


if __name__ == "__main__":
    for name, text in golden_texts().items():
        (FOLDER / name).write_text(text, "utf-8")

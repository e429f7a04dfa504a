"""The golden files: `python -m tests.typescript.goldens` writes them anew, after a change that is meant."""

from __future__ import annotations

from pathlib import Path

from tenantry.rpc.typescript import declarations
from tests.typescript.everything import ErrorExtras, Locked, TooManyNotes, application

FOLDER = Path(__file__).parent / "golden"


def golden_texts() -> dict[str, str]:
    """File name → text."""
    table = application().procedures()
    problems = [TooManyNotes, Locked]
    return {
        "plain.d.ts": declarations(table, problems=problems, error_data=ErrorExtras),
        "superjson.d.ts": declarations(table, transformer="superjson", problems=problems),
    }


if __name__ == "__main__":
    for name, text in golden_texts().items():
        (FOLDER / name).write_text(text, "utf-8")

"""`tenantry check`: every constant statement against the development database, without a request; names and routers too."""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from tenantry.cli.place import load, ready, say, show
from tenantry.settings import Settings


def run(arguments: argparse.Namespace) -> int:
    """Look, and say; exit code 1 if there is an error."""
    import psycopg

    from tenantry.check import Finding, Found, Judge, Unseen, dear_middleware, loose_routers, statements
    from tenantry.db.migrate import maker_of
    from tenantry.errors import BuilderError

    started = time.perf_counter()
    given = Settings.load()
    app = load(arguments.app, given)
    findings: list[Any] = []
    found: list[Any] = []
    try:
        app.procedures()
        found = list(statements(app))
        findings += dear_middleware(app)
    except BuilderError as error:
        findings.append(
            Finding("error", error.code, str(error.fields.get("procedure", "")), "", error.message, error.advice)
        )
    module = sys.modules[(arguments.app or given.app or "").partition(":")[0]]
    folder = Path(str(module.__file__)).parent
    findings += loose_routers(app, folder)
    settings, _ = ready(given)
    with psycopg.connect(settings.urls().platform.reveal(), autocommit=True) as connection:
        findings += Judge(connection, partial(maker_of, settings.migrations)).judge(found)
    seen = [one for one in found if isinstance(one, Found)]
    unseen = [one for one in found if isinstance(one, Unseen)]
    took = time.perf_counter() - started
    errors = [one for one in findings if one.severity == "error"]
    if arguments.json:
        show(
            {
                "findings": msgspec.to_builtins(findings), "unseen": msgspec.to_builtins(unseen), "statements": len({(o.procedure, o.where) for o in seen}),
                "seconds": round(took, 3),
            }
        )  # fmt: skip
        return 1 if errors else 0
    for one in findings:
        say(f"{one}\n")
    for one in unseen:
        say(f"not judged: {one.procedure} ({one.where}): {one.why}")
    places = len({(one.procedure, one.where) for one in seen})
    say(f"{places} statements, {len(errors)} errors, {len(findings) - len(errors)} warnings ({took:.1f} s)")
    return 1 if errors else 0

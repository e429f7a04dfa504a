"""`tenantry verify`: the proof, printed. Exit codes: 0 proven, 1 something was found or went through, 2 it could not run."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tenantry.cli.place import ready, say, tell
from tenantry.errors import VerifyImpossible
from tenantry.settings import Settings
from tenantry.tenancy.verify import Report, Subject, look

if TYPE_CHECKING:
    from tenantry.tenancy.verify import Facts


def run(arguments: argparse.Namespace) -> int:
    """The command."""
    import psycopg

    try:
        report = _by_setting(arguments) if arguments.url else _tenantry(arguments)
    except psycopg.Error as error:
        why = " ".join((error.diag.message_primary or str(error)).split())
        raise VerifyImpossible(why=why, cure="Look at the URL, and at what its login may do.") from None
    _write(report, arguments)
    return 0 if report.is_proven else 1


def _tenantry(arguments: argparse.Namespace) -> Report:
    settings, admin = ready(Settings.load())
    with _connected(settings.urls().platform.reveal()) as login:
        if login.execute("select pg_catalog.to_regclass('tenantry.protected')").fetchone()[0] is None:
            raise VerifyImpossible(
                why="Tenantry's schema is not in it",
                cure="Run: tenantry db push   or, for another application's database: tenantry verify --url … --role … --setting …",
            )
        facts, report = look(login, Subject())
        if not arguments.probe:
            return report
        with _connected(admin.reveal()) as connection:
            return _probed(facts, report, connection, login, [])


def _by_setting(arguments: argparse.Namespace) -> Report:
    if not arguments.role or not arguments.setting:
        raise VerifyImpossible(
            why="--url asks for --role (whom the application signs in as) and --setting (which tells the tenant)",
            cure="Example: tenantry verify --url postgresql://… --role web --setting app.tenant --column tenant_id",
        )
    subject = Subject(
        role=arguments.role, setting=arguments.setting, column=arguments.column, value_type=arguments.value_type
    )
    with _connected(arguments.url) as connection:
        facts, report = look(connection, subject)
        if facts.me is None:
            raise VerifyImpossible(
                why=f"there is no role {subject.role}", cure="Name the role that the application signs in as: --role"
            )
        return _probed(facts, report, connection, None, arguments.tenant) if arguments.probe else report


def _connected(url: str) -> Any:  # psycopg.Connection[Any]: the library is loaded when a command runs
    import psycopg

    return psycopg.connect(
        url, autocommit=True, connect_timeout=10, prepare_threshold=None, cursor_factory=psycopg.RawCursor
    )


def _probed(facts: Facts, report: Report, connection: Any, login: Any, tenants: list[str]) -> Report:
    from tenantry.tenancy.verify.probe import probe

    started = time.perf_counter()
    tried = probe(facts, connection, login, tenants)
    return msgspec.structs.replace(report, tried=tried, seconds=report.seconds + time.perf_counter() - started)


def _write(report: Report, arguments: argparse.Namespace) -> None:
    from tenantry.tenancy.verify.render import html, junit, text

    for path, make in ((arguments.junit, junit), (arguments.html, html)):
        if path:
            try:
                Path(path).write_text(make(report), "utf-8")
            except OSError as error:
                raise VerifyImpossible(
                    why=f"{path} cannot be written: {error.strerror}", cure="Name another file."
                ) from None
            tell(f"written: {path}")
    if arguments.json:
        whole = {"proven": report.is_proven, **msgspec.to_builtins(report)}
        say(msgspec.json.format(msgspec.json.encode(whole), indent=2).decode())
    else:
        say(text(report, is_coloured=sys.stdout.isatty(), is_long=arguments.long))

"""`tenantry db new NAME`: a migration with the next number, and what to think of before it is written."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from tenantry.cli.place import ready, say, show
from tenantry.errors import StartError
from tenantry.settings import Settings

TEXT = """-- {title}
--
-- Applied once, in a transaction of its own, under the old code and the new: expand first (a nullable column, a new table, an index),
-- deploy, and contract (drop, not null, rename) in a later file. A new table needs its line: select tenantry.protect('{table}');

"""


class MigrationName(StartError):
    """A migration's name is part of a file's name."""

    code = "MIGRATION_NAME"
    says = '"{name}" cannot be the name of a migration.'
    remedy = "Take small letters, digits and _: tenantry db new add_title"


def new(arguments: argparse.Namespace) -> int:
    """Write the file, and say its name."""
    folder = Settings.load().migrations
    file = file_for(folder, arguments.name)
    folder.mkdir(parents=True, exist_ok=True)
    name = file.stem.partition("_")[2]
    title = name.replace("_", " ").capitalize()
    file.write_text(TEXT.format(title=title, table=name.removeprefix("add_")), "utf-8")
    if arguments.json:
        show({"file": str(file)})
    else:
        say(f"{file.parent.name}/{file.name}   Write it, then: tenantry db push")
    return 0


def adopt_file(arguments: argparse.Namespace) -> int:
    """Note it, if it is a file of the application's that is not noted yet. Raises MigrationName."""
    from tenantry.db.migrate import adopt, application_migrations, status
    from tenantry.errors import MigrationFailed

    settings, admin = ready(Settings.load())
    name = Path(arguments.file).name
    found = next((one for one in application_migrations(settings.migrations) if one.name == name), None)
    if found is None or status(admin, [found]).applied:
        why = f"there is no such file in {settings.migrations}" if found is None else "it is noted as applied already"
        raise MigrationFailed(file=name, line=1, why=why, statement="", cure="See: tenantry db status")
    adopt(admin, found)
    if arguments.json:
        show({"adopted": name})
    else:
        say(f"{name}   Noted as applied; nothing was run. Compare: tenantry db diff")
    return 0


def file_for(folder: Path, given: str) -> Path:
    """The file of a migration of that name, with the next number. Raises MigrationName."""
    name = given.strip().lower().replace("-", "_").replace(" ", "_")
    if not re.fullmatch(r"[a-z0-9_]{1,80}", name):
        raise MigrationName(name=given)
    numbers = [int(found[1]) for path in folder.glob("*.sql") if (found := re.match(r"(\d+)_", path.name))]
    return folder / f"{max(numbers, default=0) + 1:04d}_{name}.sql"

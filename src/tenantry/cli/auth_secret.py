"""`tenantry secret rotate`: a new AUTH_SECRET in `.env`, in place, and nobody is signed out.

The old one goes to AUTH_SECRET_PREVIOUS with the date, and verifies what was signed by it: open forms, sign-ins under way, links in
mails. Sessions do not hang on it at all. Comments and order of the file stay.
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
from datetime import date, datetime, timezone
from pathlib import Path

from tenantry.cli.place import say, show
from tenantry.errors import StartError
from tenantry.files import write_whole

_LINE = re.compile(r"[ \t]*(?:export[ \t]+)?(AUTH_SECRET|AUTH_SECRET_PREVIOUS)[ \t]*=")
_NOTE = re.compile(r"# AUTH_SECRET rotated on (\d{4}-\d{2}-\d{2})")


class SecretNotRotated(StartError):
    """The file cannot be edited."""

    code = "SECRET_NOT_ROTATED"
    says = "AUTH_SECRET was not changed: {why}."
    remedy = "{cure}"


def rotated_text(text: str, new: str | None, today: date) -> tuple[str, bool]:
    """The file with `new` in AUTH_SECRET's place (or, for None, without the previous one), and whether there was one before."""
    from tenantry.settings.dotenv import parse

    known, _ = parse(text)
    old = known["AUTH_SECRET"].value if "AUTH_SECRET" in known else ""
    kept = [line for line in text.splitlines() if not _LINE.match(line) and not _NOTE.match(line)]
    # Where the (last) AUTH_SECRET stood, the new lines stand; of two lines with one name the last was the one that counted.
    before = text.splitlines()
    places = [n for n, line in enumerate(before) if re.match(r"[ \t]*(?:export[ \t]+)?AUTH_SECRET[ \t]*=", line)]
    at = sum(1 for line in before[: places[-1]] if line in kept) if places else len(kept)
    if new is None:
        lines = [f"AUTH_SECRET={old}"] if old else []
    else:
        lines = [f"# AUTH_SECRET rotated on {today:%Y-%m-%d}", f"AUTH_SECRET={new}"]
        if old:
            lines.append(f"AUTH_SECRET_PREVIOUS={old}")
    return "\n".join([*kept[:at], *lines, *kept[at:]]).rstrip("\n") + "\n", bool(old)


def rotate(arguments: argparse.Namespace) -> int:
    """Edit the file; 0600, written beside it and renamed, so that no crash leaves half of one."""
    path = Path(arguments.file)
    from_environment = [name for name in ("AUTH_SECRET_3", "AUTH_SECRET_2", "AUTH_SECRET_1") if os.environ.get(name)]
    if "AUTH_SECRET" in os.environ or from_environment:
        name = (from_environment or ["AUTH_SECRET"])[0]
        raise SecretNotRotated(
            why=f"{name} comes from the environment, and goes before the file", cure=f"Change {name} where it is set."
        )
    try:
        text = path.read_text("utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise SecretNotRotated(
            why=f"{path} cannot be read ({type(error).__name__})", cure="Look at the file and its rights."
        ) from None
    if '"""' in text or any(_LINE.match(line) and line.rstrip().endswith("\\") for line in text.splitlines()):
        raise SecretNotRotated(why=f"{path} has AUTH_SECRET over several lines", cure="Put it on one line.")
    today = datetime.now(timezone.utc).date()
    new = None if arguments.drop_old else secrets.token_urlsafe(33)
    changed, had_one = rotated_text(text, new, today)
    try:
        write_whole(path, changed.encode(), is_durable=True)
    except OSError as error:
        raise SecretNotRotated(
            why=f"{path} cannot be written ({error.strerror})", cure="Look at the folder's rights."
        ) from None
    if arguments.json:
        show({"file": str(path), "rotated": new is not None, "keeps_previous": new is not None and had_one})
    elif new is None:
        say(
            f"{path}: AUTH_SECRET_PREVIOUS is gone. Reload the server: forms and mails from before the rotation no longer fit."
        )
    else:
        kept = ", the old one verifies as AUTH_SECRET_PREVIOUS" if had_one else ""
        say(f"{path}: AUTH_SECRET is new{kept}. Reload the server; nobody is signed out.")
        say("After a day: tenantry secret rotate --drop-old")
    return 0

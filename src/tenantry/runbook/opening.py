"""The place of a command: settings and URLs as far as they can be had. What is wrong with the settings is a finding, not an end."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tenantry.errors import SettingsFaulty
from tenantry.processes.place import embedded
from tenantry.runbook.place import Place
from tenantry.settings import DatabaseUrl, Settings
from tenantry.settings.dotenv import parse

Fault = tuple[str, str, str]


def open_place(
    superuser: str | None = None, *, environ: Mapping[str, str] | None = None, file: str = ".env", is_deep: bool = False
) -> Place:
    """Where the doctor looks, by the environment and `.env` of the working folder. Never raises for settings."""
    settings, faults = lenient(os.environ if environ is None else environ, Path(file))
    env = Path(file).absolute()
    given = None if superuser is None else DatabaseUrl(superuser)
    own = embedded(settings)
    if own is None:
        return Place(settings, settings.urls(), superuser=given, faults=faults, env_file=env, is_deep=is_deep)
    try:
        urls, given = own.urls(), given or own.superuser_url("socket")
    except Exception:  # no embedded server was made yet
        return Place(settings, None, faults=faults, env_file=env, is_deep=is_deep)
    return Place(settings, urls, superuser=given, faults=faults, env_file=env, is_deep=is_deep)


def lenient(environ: Mapping[str, str], file: Path) -> tuple[Settings, list[Fault]]:
    """The settings without those that cannot be used, and what is wrong with these."""
    try:
        return Settings.load(environ, file), []
    except SettingsFaulty as error:
        faults: list[Fault] = list(error.fields["faults"])
    texts = {**_texts(file), **environ}
    for attempt in ({name for name, _, _ in faults}, _sign_in(texts) | {name for name, _, _ in faults}):
        kept = {name: value for name, value in texts.items() if name not in attempt}
        try:
            return Settings.load(kept, None), faults
        except SettingsFaulty:
            continue
    only = {name: texts[name] for name in ("DATABASE_URL", "TENANTRY_HOME", "PORT") if name in texts}
    for name in ("", "PORT", "TENANTRY_HOME", "DATABASE_URL"):
        only.pop(name, None)
        try:
            return Settings.load(only, None), faults
        except SettingsFaulty:
            continue
    return Settings.load({}, None), faults


def _sign_in(texts: Mapping[str, str]) -> set[str]:
    """Sign-in's settings are judged together: what is missing beside one cannot be taken away, but the one can."""
    return {name for name in texts if name.startswith("AUTH_")}


def _texts(file: Path) -> dict[str, str]:
    try:
        lines, _ = parse(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        return {}
    return {name: line.value for name, line in lines.items()}

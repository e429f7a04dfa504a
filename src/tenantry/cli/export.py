"""`tenantry tenants export SLUG`, and `tenantry backup export --tenant SLUG`: everything that is one tenant's, as JSON lines."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from tenantry.cli.place import ready, say, show
from tenantry.settings import Settings


def run(arguments: argparse.Namespace) -> int:
    """Write it."""
    from tenantry.backup.export import export

    settings, admin = ready(Settings.load())
    folder, manifest = export(admin, settings.urls(), arguments.tenant, arguments.to or Path())
    if arguments.json:
        show({"folder": str(folder), **msgspec.to_builtins(manifest)})
        return 0
    for one in manifest.files.values():
        say(f"{one['rows']:>10} rows  {one['bytes']:>12} bytes  {one['table']}")
    say(f"{manifest.rows} rows of {manifest.slug} are in {folder}, from one snapshot, {manifest.seconds:g} s.")
    if manifest.left_out:
        say(f"Not in it, since role platform may not read it: {', '.join(manifest.left_out)}.")
    return 0

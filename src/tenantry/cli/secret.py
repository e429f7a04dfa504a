"""`tenantry secret …`: secrets that the database keeps."""

from __future__ import annotations

import argparse

import msgspec

from tenantry.cli.place import ready, say, show, tell
from tenantry.errors import DatabaseNotReady
from tenantry.settings import Settings


def rotate_seal(arguments: argparse.Namespace) -> int:
    """Change the key of the keyed seal, while requests run."""
    import psycopg

    from tenantry.tenancy.rotation import rotate

    _, admin = ready(Settings.load())
    try:
        with psycopg.connect(admin.reveal(), autocommit=True, connect_timeout=10) as connection:
            done = rotate(connection, wait_seconds=arguments.wait, report=tell)
    except psycopg.Error as error:
        why = " ".join((error.diag.message_primary or str(error)).split())
        raise DatabaseNotReady(
            why=why, cure="It wants DATABASE_ADMIN_URL, and Tenantry's schema: tenantry db push"
        ) from None
    if arguments.json:
        show(msgspec.to_builtins(done))
    elif done.seal == "vault":
        say("This database uses the vault: there is no key to change.")
    elif done.retired:
        say(f"The key was changed; the one before holds no more ({done.seconds:.1f} s).")
    else:
        say(
            f"The key was changed; {done.waiting} transactions of before are still open, so that both hold. Run this again to finish."
        )
    return 0 if done.retired or done.seal == "vault" else 1

"""`tenantry backup create | list | verify | restore`: backups, and the proof that they can be restored."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import msgspec

from tenantry.cli.place import embedded, migrations, ready, say, show, tell
from tenantry.settings import DatabaseUrl, Settings

if TYPE_CHECKING:
    from tenantry.backup import Proof, Shelf


def create(arguments: argparse.Namespace) -> int:
    """Make one."""
    from tenantry.backup import BackupFailed
    from tenantry.backup import create as make

    settings, admin = ready(Settings.load())
    passphrase = settings.backup_passphrase if arguments.encrypt else None
    if arguments.encrypt and passphrase is None:
        raise BackupFailed(what="The backup", why="there is no passphrase", cure="Set TENANTRY_BACKUP_PASSPHRASE.")
    made = make(admin, _shelf(settings, arguments), passphrase=passphrase)
    if arguments.json:
        show(msgspec.to_builtins(made))
    else:
        how = "encrypted" if made.is_encrypted else "not encrypted"
        say(
            f"{made.name}: {made.rows} rows in {len(made.counts)} tables, {made.bytes} bytes, {how}, {made.seconds:g} s."
        )
        say("It is a backup once it was restored: tenantry backup verify")
    return 0


def list_(arguments: argparse.Namespace) -> int:
    """What there is, and which restore was proved last."""
    shelf = _shelf(Settings.load(), arguments)
    found, proof = shelf.all(), shelf.proven()
    if arguments.json:
        show({"backups": msgspec.to_builtins(found), "proven": msgspec.to_builtins(proof)})
        return 0
    for one in found:
        say(
            f"{one.name}  {one.rows:>10} rows  {one.bytes:>12} bytes  PostgreSQL {one.server}{'  encrypted' if one.is_encrypted else ''}"
        )
    say(f"Last proven restore: {f'{proof.name}, {proof.at}' if proof else 'none: tenantry backup verify'}")
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Restore one for real, into a database that is dropped afterwards; or only look at its checksum."""
    from tenantry.backup import checked
    from tenantry.backup import verify as prove

    settings, _ = ready(Settings.load())
    shelf = _shelf(settings, arguments)
    manifest = shelf.one(arguments.name)
    if arguments.quick:
        checked(shelf, manifest)
        if arguments.json:
            show({"name": manifest.name, "checksum": "ok", "proven": None})
        else:
            say(f"{manifest.name}: its checksum is right. Whether it can be restored is not proved by that.")
        return 0
    proof = prove(
        shelf, manifest, _superuser(settings, arguments), migrations=migrations(settings), passphrase=settings.backup_passphrase,
        say=_silent if arguments.json else tell,
    )  # fmt: skip
    return _told(
        arguments, proof, f"{proof.name} can be restored: {proof.rows} rows, isolation holds, {proof.seconds:g} s."
    )


def restore(arguments: argparse.Namespace) -> int:
    """Restore into a new database, and prove it."""
    from tenantry.backup import restore as bring_back

    settings, _ = ready(Settings.load())
    shelf = _shelf(settings, arguments)
    proof = bring_back(
        shelf, shelf.one(arguments.name), _superuser(settings, arguments), arguments.into, urls=settings.urls(),
        migrations=migrations(settings), passphrase=settings.backup_passphrase, say=_silent if arguments.json else tell,
    )  # fmt: skip
    return _told(
        arguments, proof,
        f"{proof.rows} rows are in database {proof.database}, and isolation holds. Point DATABASE_URL at it, or rename it.",
    )  # fmt: skip


def _shelf(settings: Settings, arguments: argparse.Namespace) -> Shelf:
    from tenantry.backup import Shelf

    return Shelf(arguments.folder or settings.backups or settings.home / "backups")


def _superuser(settings: Settings, arguments: argparse.Namespace) -> DatabaseUrl:
    """The one that was given, else the embedded server's, else the login that migrates (a superuser on small servers)."""
    if arguments.superuser_url:
        return DatabaseUrl(arguments.superuser_url)
    own = embedded(Settings.load())
    return settings.urls().admin if own is None else own.superuser_url("socket")


def _told(arguments: argparse.Namespace, proof: Proof, words: str) -> int:
    if arguments.json:
        plain: Any = msgspec.to_builtins(proof)
        show(plain)
    else:
        say(words)
    return 0


def _silent(text: str) -> None:
    """In JSON there is no progress."""

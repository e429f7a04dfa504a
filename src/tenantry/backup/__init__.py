"""Backups that are worth something: made by `pg_dump` as a role that row security does not bind, restored for real, and proved.

`create.py` writes a dump and its manifest from one snapshot; `sealed.py` encrypts it; `restore.py` restores into a new database, puts
back what restores lose, and proves by the checks of isolation and by counts; `shelf.py` is the folder, and the note of the last proof.
"""

from __future__ import annotations

from tenantry.backup.create import create
from tenantry.backup.manifest import BackupFailed, Manifest, Proof
from tenantry.backup.restore import checked, restore, verify
from tenantry.backup.shelf import Shelf

__all__ = ["BackupFailed", "Manifest", "Proof", "Shelf", "checked", "create", "restore", "verify"]

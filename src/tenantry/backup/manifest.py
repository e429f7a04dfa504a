"""What is known of a backup: versions, counts, checksum. It lies beside the dump, readable without it and without a key."""

from __future__ import annotations

from msgspec import Struct

from tenantry.errors import StartError


class BackupFailed(StartError):
    """A backup could not be made, read, restored or proved; nothing that was there is changed."""

    code = "BACKUP_FAILED"
    says = "{what} failed: {why}."
    remedy = "{cure}"


class Manifest(Struct, frozen=True):
    """One backup. `counts` are rows by table, of the dump's own snapshot."""

    name: str
    at: str
    database: str
    server: str
    major: int
    tenantry: str
    counts: dict[str, int]
    migrations: list[str]
    bytes: int
    sha256: str
    """Of the file as it lies there, encrypted or not."""
    is_encrypted: bool
    seconds: float

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(self.counts.values())


class Proof(Struct, frozen=True):
    """The last restore that was proved."""

    at: str
    name: str
    made_at: str
    database: str
    rows: int
    seconds: float

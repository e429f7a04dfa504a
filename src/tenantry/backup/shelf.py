"""The folder of backups: TENANTRY_HOME/backups, for this account only. A backup is two files: NAME.dump and NAME.json."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import msgspec

from tenantry.backup.manifest import BackupFailed, Manifest, Proof
from tenantry.files import write_whole


class Shelf:
    """One folder. The note of the last proof lies in it too, as `proven.json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def made(self) -> Shelf:
        """Make the folder, for nobody else to look into."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self

    def dump(self, name: str) -> Path:
        """Where a backup's contents lie."""
        return self.folder / f"{name}.dump"

    def all(self) -> list[Manifest]:
        """Every backup that is whole, oldest first; a manifest without its dump is none."""
        found: list[Manifest] = []
        for path in sorted(self.folder.glob("*.json")):
            if path.name == "proven.json":
                continue
            try:
                manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
            except (OSError, msgspec.DecodeError):
                continue
            if self.dump(manifest.name).exists():
                found.append(manifest)
        return sorted(found, key=lambda one: one.at)

    def one(self, name: str | None) -> Manifest:
        """The backup of that name; without a name the newest. Raises BackupFailed."""
        found = self.all()
        wanted = [one for one in found if name in (None, one.name)]
        if not wanted:
            why = f"{self.folder} has no backup" + (f" {name}" if name else "")
            raise BackupFailed(what="Reading a backup", why=why, cure="See: tenantry backup list")
        return wanted[-1]

    def keep(self, manifest: Manifest) -> None:
        """Write a manifest; with it the backup is there."""
        write_whole(self.folder / f"{manifest.name}.json", msgspec.json.format(msgspec.json.encode(manifest)))

    def prove(self, proof: Proof) -> None:
        """Note that a restore was proved."""
        write_whole(self.folder / "proven.json", msgspec.json.format(msgspec.json.encode(proof)))

    def proven(self) -> Proof | None:
        """The last restore that was proved."""
        try:
            return msgspec.json.decode((self.folder / "proven.json").read_bytes(), type=Proof)
        except (OSError, msgspec.DecodeError):
            return None


def now() -> str:
    """UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")

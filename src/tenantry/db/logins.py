"""Passwords of login roles: only their SCRAM verifiers ever travel, so no log and no `pg_stat_activity` can hold one.

Who has which password is decided elsewhere: the embedded server generates them; for a server of one's own they stand in
the URLs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

_SCRAM_PARTS = 3


def set_password(connection: psycopg.Connection[Any], role: str, password: str) -> None:
    """Give a login role its password; hashed here, as psql's `\\password` does."""
    from psycopg import sql

    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(verifier)))


def fits(password: str, verifier: str | None) -> bool:
    """Tell whether a `pg_authid.rolpassword` was made of this password (SCRAM only, RFC 5803)."""
    parts = (verifier or "").split("$")
    if len(parts) != _SCRAM_PARTS or parts[0] != "SCRAM-SHA-256":
        return False
    iterations, _, salt = parts[1].partition(":")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(iterations))
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    return hmac.compare_digest(base64.b64encode(stored).decode(), parts[2].partition(":")[0])

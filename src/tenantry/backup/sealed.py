"""Encryption of a stream: AES-256-GCM in chunks of a MiB, the key from a passphrase by scrypt.

Each chunk's nonce holds its number and whether it is the last (as in STREAM, Hoang and others 2015): a chunk that was changed, moved,
or cut off at the end is noticed. The file begins with a mark and the salt.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from tenantry.backup.manifest import BackupFailed
from tenantry.settings import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MARK = b"tenantry-backup-1\n"
CHUNK_BYTES = 1 << 20
TAG_BYTES = 16
SALT_BYTES = 16


class Sealing:
    """Encrypts what is written to it. `finish` writes the last chunk, without which the file is refused."""

    def __init__(self, to: BinaryIO, passphrase: Secret) -> None:
        salt = secrets.token_bytes(SALT_BYTES)
        self._to = to
        self._cipher = _cipher(passphrase, salt)
        self._waiting = bytearray()
        self._number = 0
        to.write(MARK + salt)

    def write(self, data: bytes) -> None:
        """Take plain bytes."""
        self._waiting += data
        while len(self._waiting) > CHUNK_BYTES:
            self._seal(bytes(self._waiting[:CHUNK_BYTES]), is_last=False)
            del self._waiting[:CHUNK_BYTES]

    def finish(self) -> None:
        """Write the rest."""
        self._seal(bytes(self._waiting), is_last=True)

    def _seal(self, plain: bytes, *, is_last: bool) -> None:
        self._to.write(self._cipher.encrypt(_nonce(self._number, is_last=is_last), plain, None))
        self._number += 1


def opened(source: BinaryIO, passphrase: Secret) -> Iterator[bytes]:
    """The plain bytes. Raises BackupFailed at the first chunk that is not what was written."""
    from cryptography.exceptions import InvalidTag

    if source.read(len(MARK)) != MARK:
        raise BackupFailed(what="Reading a backup", why="it is not an encrypted backup", cure="Look at its manifest.")
    cipher = _cipher(passphrase, source.read(SALT_BYTES))
    number = 0
    chunk = source.read(CHUNK_BYTES + TAG_BYTES)
    while True:
        following = source.read(CHUNK_BYTES + TAG_BYTES)
        try:
            yield cipher.decrypt(_nonce(number, is_last=not following), chunk, None)
        except InvalidTag:
            raise BackupFailed(
                what="Reading a backup",
                why=f"chunk {number} cannot be opened: another passphrase, or the file was changed or cut off",
                cure="Give the passphrase that it was made with: TENANTRY_BACKUP_PASSPHRASE",
            ) from None
        if not following:
            return
        chunk = following
        number += 1


def _cipher(passphrase: Secret, salt: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    # 64 MB and about a fifth of a second a try (RFC 7914's parameters for files, half of them).
    return AESGCM(Scrypt(salt=salt, length=32, n=1 << 16, r=8, p=1).derive(passphrase.reveal().encode()))


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])

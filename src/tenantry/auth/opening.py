"""Sign-in of an application that opens: configuration, pool, mail; and the secret that development makes for itself."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets

from tenantry.auth.accounts import Accounts
from tenantry.auth.configuration import configuration
from tenantry.auth.mail import Post
from tenantry.auth.surface import SignIn
from tenantry.db import Pool
from tenantry.settings import Settings
from tenantry.signals import Signals

log = logging.getLogger("tenantry.auth")


def opened(settings: Settings, accounts: Pool, signals: Signals) -> SignIn:
    """The Auth.js surface over these settings."""
    made = configuration(settings, development_secret(settings))
    if not made.is_on:
        log.warning("sign-in is off: AUTH_SECRET is not set")
    return SignIn(made, Accounts(accounts), Post(settings.auth_email_server, settings.auth_email_from), signals)


def development_secret(settings: Settings) -> bytes | None:
    """In development a secret is made once and kept in TENANTRY_HOME, for all workers and restarts; None in production."""
    if settings.env != "development":
        return None
    if not settings.home.is_dir():
        return secrets.token_urlsafe(33).encode()
    path = settings.home / "auth-secret"
    with contextlib.suppress(FileExistsError):
        unfinished = settings.home / f".auth-secret-{os.getpid()}"
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(secrets.token_urlsafe(33).encode())
        try:
            os.link(unfinished, path)  # fails when another worker was first, and never shows half a file
        finally:
            unfinished.unlink()
    return path.read_bytes()

"""Mail: the text, and the ways out: SMTP in a worker thread, and for development the console or a folder.

A mail's body stands in no log. What cannot be sent is logged with its reason and counted; the person can ask again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import sys
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr
from pathlib import Path
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from tenantry.files import write_whole
from tenantry.settings import Secret

log = logging.getLogger("tenantry.auth")
SMTP_SECONDS = 10.0
_TAG = re.compile(r"[\r\n\0]")


class Mail(Struct, frozen=True):
    """One mail, with the link and the code beside the text, for those who collect mails in development."""

    to: str
    subject: str
    text: str
    url: str
    code: str | None = None


class Post:
    """Where mails go. `send` returns when the mail is in the outbox, or for SMTP at once."""

    def __init__(self, server: Secret | None, sender: str) -> None:
        self.server = server
        self.sender = sender
        self.failed = 0
        self._sending: set[asyncio.Task[None]] = set()

    @property
    def is_on(self) -> bool:
        """Whether mails can be sent at all."""
        return self.server is not None

    async def send(self, mail: Mail) -> None:
        """Send; never raises, and takes as long for an address that nobody has."""
        if self.server is None:
            return
        text = self.server.reveal()
        scheme, _, rest = text.partition(":")
        if scheme == "console":
            sys.stderr.write(f"--- mail to {mail.to}: {mail.subject}\n{mail.text}\n---\n")
        elif scheme == "dir":
            await asyncio.to_thread(keep, Path(rest), mail)
        else:
            task = asyncio.create_task(self._by_smtp(mail))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _by_smtp(self, mail: Mail) -> None:
        assert self.server is not None
        for pause in (0.0, 2.0, 10.0):
            await asyncio.sleep(pause)
            try:
                await asyncio.to_thread(deliver, self.server.reveal(), message(mail, self.sender))
            except Exception as error:  # smtplib's, ssl's and socket's alike: none of them may end the server
                why = type(error).__name__
            else:
                return
        self.failed += 1
        log.error("a mail could not be sent: %s", why)

    async def close(self) -> None:
        """Let what is being sent end, within ten seconds."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=SMTP_SECONDS)


def send_now(server: Secret, sender: str, mail: Mail) -> None:
    """Send from a command, without an event loop. Raises what smtplib and the disk raise."""
    scheme, _, rest = server.reveal().partition(":")
    if scheme == "dir":
        keep(Path(rest), mail)
    elif scheme == "console":
        sys.stderr.write(f"--- mail to {mail.to}: {mail.subject}\n{mail.text}\n---\n")
    else:
        deliver(server.reveal(), message(mail, sender))


def keep(folder: Path, mail: Mail) -> None:
    """One JSON file a mail, in the order of sending."""
    import time

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = f"{time.time_ns()}-{secrets.token_hex(4)}"
    body = {"to": mail.to, "subject": mail.subject, "text": mail.text, "url": mail.url, "code": mail.code}
    write_whole(folder / f"{name}.json", json.dumps(body).encode())


def message(mail: Mail, sender: str) -> EmailMessage:
    """The mail as it is sent: plain text."""
    name, address = parseaddr(sender)
    whole = EmailMessage()
    whole["From"] = Address(_TAG.sub("", name), addr_spec=address)
    whole["To"] = Address("", addr_spec=mail.to)
    whole["Subject"] = _TAG.sub(" ", mail.subject)
    whole["Date"] = formatdate(usegmt=True)
    whole["Message-ID"] = make_msgid(domain=address.rpartition("@")[2] or "localhost")
    whole["Auto-Submitted"] = "auto-generated"
    whole.set_content(mail.text)
    return whole


def deliver(server: str, whole: EmailMessage) -> None:
    """Hand it to the SMTP server; TLS from the start (smtps), or STARTTLS where it is offered, and always before a password."""
    import smtplib
    import ssl

    parts = urlsplit(server)
    host = parts.hostname or "localhost"
    context = ssl.create_default_context()
    if parts.scheme == "smtps":
        connection: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=SMTP_SECONDS, context=context)
    else:
        connection = smtplib.SMTP(host, parts.port or 587, timeout=SMTP_SECONDS)
    with connection:
        connection.ehlo()
        if parts.scheme == "smtp" and connection.has_extn("starttls"):
            connection.starttls(context=context)
            connection.ehlo()
        elif parts.scheme == "smtp" and parts.username:
            message = "the server offers no TLS, and a password would go in clear"
            raise ConnectionError(message)
        if parts.username:
            connection.login(unquote(parts.username), unquote(parts.password or ""))
        connection.send_message(whole)


def linked_mail(to: str, provider: str, theme: str, origin: str, address: str | None) -> Mail:
    """That a further way to sign in was added: to whom it was added, whoever did it."""
    host = urlsplit(origin).netloc
    when = formatdate(usegmt=True)
    text = (
        f"{provider} was added to your account at {theme} ({host}), as a further way to sign in:\n"
        f"{when}, from {address or 'an unknown address'}.\n\n"
        "If it was you, you need do nothing.\n"
        f"If it was not: sign in at {origin} now, sign out everywhere else, and tell whoever runs {theme}.\n"
    )
    return Mail(to, f"{provider} was added to your account at {theme}", text, origin)


def sign_in_mail(to: str, url: str, code: str, theme: str, host: str) -> Mail:
    """The link and the code."""
    shown = f"{code[:4]}-{code[4:]}"
    text = (
        f"Sign in to {theme} ({host}):\n\n{url}\n\n"
        f"Or type this code where you asked for the mail: {shown}\n\n"
        "Both work once, for 15 minutes. If you did not ask for this, you need do nothing.\n"
    )
    return Mail(to, f"Sign in to {theme}: {shown}", text, url, code)

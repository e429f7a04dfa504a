"""Mail by SMTP: what is sent, and that a server that is away breaks nothing."""

from __future__ import annotations

import asyncio
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP as Smtp
from aiosmtpd.smtp import Envelope, Session

from tenantry.auth.mail import Mail, Post, deliver, message, sign_in_mail
from tenantry.settings import Secret
from tests.auth.browser import Browser, signing_in
from tests.conftest import Database, free_port


class Box:
    def __init__(self) -> None:
        self.got: list[tuple[list[str], bytes]] = []

    async def handle_DATA(self, server: Smtp, session: Session, envelope: Envelope) -> str:
        self.got.append((envelope.rcpt_tos, envelope.content or b""))  # pyright: ignore[reportArgumentType]
        return "250 OK"


async def test_the_link_comes_by_smtp_and_signs_in(database: Database, tmp_path: Path) -> None:
    box = Box()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        server = Secret(f"smtp://127.0.0.1:{controller.port}")
        async with signing_in(
            database, tmp_path, auth_email_server=server, auth_email_from="Acme <login@acme.example>"
        ) as app:
            browser = Browser(app)
            await browser.post(
                "/api/auth/signin/email", {"csrfToken": await browser.csrf(), "email": "Ann@Example.com"}
            )
            for _ in range(200):
                if box.got:
                    break
                await asyncio.sleep(0.05)
            ((to, raw),) = box.got
            mail = message_from_bytes(raw, policy=default)
            assert isinstance(mail, EmailMessage)
            assert to == ["ann@example.com"]
            assert (mail["From"], mail["Auto-Submitted"]) == ("Acme <login@acme.example>", "auto-generated")
            text = mail.get_content()
            url = next(line for line in text.splitlines() if line.startswith("http"))
            assert (await browser.submit(await browser.fetch(url))).error is None
    finally:
        controller.stop()


async def test_a_mail_server_that_is_away_is_told_by_the_log_and_by_nothing_else(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = Secret(f"smtp://user:password-of-the-mail-server@127.0.0.1:{free_port()}")
    async with signing_in(database, tmp_path, auth_email_server=server) as app:
        browser = Browser(app)
        answer = await browser.post(
            "/api/auth/signin/email", {"csrfToken": await browser.csrf(), "email": "ann@example.com"}
        )
        assert answer.location.endswith("verify-request?provider=email&type=email")
    assert "password-of-the-mail-server" not in caplog.text


def test_a_password_goes_over_tls_only() -> None:
    controller = Controller(Box(), hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        mail = message(
            sign_in_mail("ann@example.com", "https://app.example/x", "ABCDEFGH", "Acme", "app.example"), "a@b.cd"
        )
        with pytest.raises(ConnectionError, match="in clear"):
            deliver(f"smtp://user:password@127.0.0.1:{controller.port}", mail)
    finally:
        controller.stop()


@pytest.mark.parametrize("words", ["Acme\r\nBcc: eve@evil.example", "Acme\0", "Äcme & Søn"])
def test_no_header_comes_out_of_a_name(words: str) -> None:
    mail = message(Mail("ann@example.com", f"Invitation to {words}", "text", "https://app.example"), "Acme <a@b.cd>")
    assert set(mail.keys()) == {
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "Content-Type",
        "Content-Transfer-Encoding",
        "MIME-Version",
    }


async def test_without_a_server_nothing_is_sent() -> None:
    post = Post(None, "")
    await post.send(Mail("a@b.cd", "s", "t", "u"))
    assert not post.is_on
    await post.close()

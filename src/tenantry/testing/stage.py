"""Where tests play: one database and one open application for a process, on a loop in a thread of its own; cleaned between tests.

Opening an application and making a database cost some 200 ms; cleaning costs a few. So both stay, and what a test committed is taken away
after it (`cleaning`). The application's loop is not the test's: a blocking test does not stop it, and each test may have its own loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from tenantry.settings import Secret
from tenantry.testing.cleaning import Cleaner

if TYPE_CHECKING:
    from tenantry.app import Tenantry
    from tenantry.http import NativeServer
    from tenantry.settings import Settings, Urls
    from tenantry.testing.database import Server

T = TypeVar("T")
OPENING_SECONDS = 60.0
QUIET_SECONDS = 2.0


class Stage:
    """The application, open over a database of its own."""

    def __init__(self, app: Tenantry[Any], server: Server) -> None:
        self.app = app
        self._server = server
        self.home = Path(tempfile.mkdtemp(prefix="tenantry-test-"))
        self.mails = self.home / "mails"
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="tenantry application", daemon=True)
        self._thread.start()
        self.renewals = 0
        """How often a test needed a new database."""
        self._http: tuple[NativeServer, Any] | None = None
        self._open()

    def _open(self) -> None:
        self._made = contextlib.ExitStack()
        try:
            urls, self.admin = self._made.enter_context(self._server.database())
            self.settings = self._settings(urls)
            self._cleaner = Cleaner(self.admin) if self._may_clean() else None
            self.wait(self.app.open(self.settings))
        except BaseException:
            self._made.close()
            raise

    def _settings(self, urls: Urls) -> Settings:
        given = self.app.settings_type.load()
        return replace(
            given, database_url=urls.platform, database_auth_url=urls.auth, database_ops_url=urls.ops, database_admin_url=urls.admin,
            database_direct_url=urls.direct, env="development", home=self.home, pool_size=2, log_rate=0,
            auth_email_server=Secret(f"dir:{self.mails}"), auth_email_from=given.auth_email_from or "tests@tenantry.example",
            auth_url=given.auth_url or "http://tests.localhost:3000",
        )  # fmt: skip

    def _may_clean(self) -> bool:
        return bool(self.admin.execute("select current_setting('is_superuser')::boolean").fetchone()[0])

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it on the application's loop, and wait for it here."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(OPENING_SECONDS)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it on the application's loop, and wait for it on the test's."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    def address(self) -> str:
        """Where it listens, on a socket of this machine; opened at the first call."""
        if self._http is None:
            self._http = self.wait(self._listen())
        return f"http://127.0.0.1:{self._http[1].getsockname()[1]}"

    async def _listen(self) -> tuple[NativeServer, Any]:
        from tenantry.http import HttpLimits, NativeServer
        from tenantry.processes.listener import bind_where_free

        listener = bind_where_free("127.0.0.1", [0])
        listener.setblocking(False)
        server = NativeServer(self.app.handler, HttpLimits())
        await server.start([listener])
        return server, listener

    def clean(self) -> None:
        """As it was at first, for the next test; a new database where the schema was changed."""
        for mail in self.mails.glob("*"):
            mail.unlink()
        until = time.monotonic() + QUIET_SECONDS
        while self.app.usage().busy and time.monotonic() < until:
            time.sleep(0.005)  # what a test left running ends before its rows go
        if self._cleaner is None or not self._cleaner.clean():
            self.renew()

    def renew(self) -> None:
        """A new database, and the application opened over it anew."""
        self.renewals += 1
        self._shut()
        self._open()

    def _shut(self) -> None:
        if self._http is not None:
            server, listener = self._http
            self._http = None
            self.wait(server.drain(1.0))
            listener.close()
        self.wait(self.app.close(1.0))
        self._made.close()

    def close(self) -> None:
        """All of it goes."""
        try:
            self._shut()
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(5)
            self.loop.close()
            shutil.rmtree(self.home, ignore_errors=True)

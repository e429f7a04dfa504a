"""Where the doctor looks: settings, URLs, files, and the few ways of asking. Everything has a deadline, nothing needs anything else.

It works with the API down, the database down, and the settings wrong: what cannot be had is None, and the probes say so.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, LiteralString, cast

import msgspec

from tenantry.settings import DatabaseUrl, Settings, Urls

if TYPE_CHECKING:
    import psycopg

    from tenantry.runbook.model import Needs

Login = Literal["platform", "ops", "admin", "direct", "auth", "superuser"]
MOST_CONNECTIONS = 5
"""Of the probes at once: a server that is nearly full must not be filled by whoever looks for the reason."""
_SECRETS = re.compile(
    r"(?i)((?:password|secret|token|api[_-]?key|authorization)\s*[=:]\s*(?:bearer\s+)?)([^\s,;'\"&]+)|(://[^:/@\s]+:)([^@\s]+)(?=@)"
)


def masked(text: str) -> str:
    """The text without what looks like a secret."""
    return _SECRETS.sub(lambda m: f"{m[1] or m[3]}•••", text)


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    took_ms: float

    def json(self) -> dict[str, Any]:
        """The body as an object; {} if it is none."""
        try:
            found: Any = msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return {}
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


class Refusal(Exception):
    """PostgreSQL, or the way to it, says no: `sqlstate` (empty where there was none) and its words."""

    def __init__(self, sqlstate: str, words: str) -> None:
        self.sqlstate = sqlstate
        self.words = words
        super().__init__(words)


class Place:
    """One installation. `urls` is None where no database is configured and no embedded one was ever made."""

    def __init__(
        self,
        settings: Settings,
        urls: Urls | None,
        *,
        superuser: DatabaseUrl | None = None,
        faults: Sequence[tuple[str, str, str]] = (),
        env_file: Path | None = None,
        is_deep: bool = False,
    ) -> None:
        self.settings = settings
        self.faults = list(faults)
        """What is wrong with the settings: name, what, cure. Those names have their defaults here."""
        self.env_file = env_file or Path(".env").absolute()
        self.home: Path = settings.home
        self.urls = urls
        self.superuser = superuser
        """Given by `--superuser-url`, or the embedded server's own; never taken from elsewhere."""
        self.is_deep = is_deep
        self.kept = _kept(settings.home)
        self.patience = 1.0
        """By what every deadline is multiplied: more than 1 where this machine has little time for the doctor itself."""
        self._few: tuple[asyncio.AbstractEventLoop, asyncio.Semaphore] | None = None
        self._idle: dict[Login, list[psycopg.AsyncConnection[Any]]] = {}

    @property
    def is_embedded(self) -> bool:
        """Whether the server is our own."""
        return self.settings.database_url is None

    @property
    def api_url(self) -> str:
        """Where the API listens, or listened last."""
        port = self.settings.port if self.settings.is_given("PORT") else int(self.kept.get("port", self.settings.port))
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 - the reverse: it is not listened on

    async def rights(self, seconds: float = 2.7) -> dict[Needs, bool]:
        """What a remedy may need, and whether it is to be had: asked for so long; what has no answer is not to be had."""
        wanted: dict[Needs, asyncio.Task[bool]] = {
            "ops": asyncio.create_task(self._may("ops", "select true as may")),
            "owner": asyncio.create_task(
                self._may("admin", "select pg_catalog.pg_has_role('tenantry_owner', 'member') as may")
            ),
            "superuser": asyncio.create_task(self._may_all()),
        }
        await asyncio.wait(wanted.values(), timeout=seconds)
        for task in wanted.values():
            task.cancel()
        await asyncio.gather(*wanted.values(), return_exceptions=True)
        had: dict[Needs, bool] = {name: not task.cancelled() and task.result() for name, task in wanted.items()}
        return {"none": True, "os": True, **had}

    async def _may_all(self) -> bool:
        """Asked in the maintenance database too: ours may take no connections, which is what is to be mended."""
        text: LiteralString = "select rolsuper as may from pg_catalog.pg_roles where rolname = current_user"
        if self.superuser is None or await self._may("superuser", text):
            return self.superuser is not None
        elsewhere = Place(self.settings, self.urls, superuser=self.superuser.with_database("postgres"))
        try:
            return await elsewhere._may("superuser", text)
        finally:
            elsewhere.rest()

    async def _may(self, login: Login, text: LiteralString) -> bool:
        from tenantry.runbook.model import NotApplicable

        try:
            rows = await self.ask(login, text, seconds=2.7)
        except (Refusal, TimeoutError, NotApplicable, OSError):
            return False
        return bool(rows and rows[0]["may"])

    # ------------------------------------------------------------------ asking

    async def ask(
        self,
        login: Login,
        text: LiteralString,
        values: Sequence[Any] = (),
        *,
        seconds: float = 2.5,
        path: LiteralString | None = None,
    ) -> list[dict[str, Any]]:
        """The rows of a statement, READ ONLY. Raises Refusal, TimeoutError, NotApplicable.

        Over a connection that the next question takes on (`rest` ends them): signing in costs five trips, a question one. All goes
        in one write, as a transaction of its own, and leaves nothing behind in the session: a pooler may give it to somebody else.
        """
        async with asyncio.timeout(seconds * self.patience), self._queue():
            connection = self._taken(login) or await self._connect(login)
            is_good = False
            try:
                async with connection.pipeline():
                    await connection.execute("begin read only")
                    await connection.execute("set local statement_timeout = '4s'")
                    if path is not None:
                        await connection.execute("select pg_catalog.set_config('search_path', $1, true)", [path])
                    cursor = await connection.execute(text, values)
                    await connection.execute("rollback")
                rows = await _rows(cursor)
                is_good = True
            except psycopg_error() as error:
                raise refused(error) from None
            finally:
                if is_good:
                    self._idle.setdefault(login, []).append(connection)
                else:
                    connection.pgconn.finish()  # at once: a stopped server must not be waited for
            return rows

    async def ask_as_ops_or_superuser(
        self, text: LiteralString, values: Sequence[Any] = ()
    ) -> tuple[Login, list[dict[str, Any]]]:
        """Where ops is refused, the superuser is asked if we may be it; who had the answer may be asked the next. Raises as `ask` does."""
        try:
            return "ops", await self.ask("ops", text, values)
        except Refusal:
            if self.superuser is None:
                raise
            return "superuser", await self.ask("superuser", text, values)

    async def greet(self, login: Login, *, seconds: float) -> None:
        """Sign in anew, and one SELECT: what a request's connection meets. Raises as `ask` does."""
        await self.do(login, "select 1", seconds=seconds)

    async def do(
        self, login: Login, text: LiteralString, values: Sequence[Any] = (), *, seconds: float = 10.0
    ) -> list[dict[str, Any]]:
        """A remedy's statement, which may write, over a connection of its own. Raises as `ask` does."""
        async with asyncio.timeout(seconds * self.patience):
            connection = await self._connect(login)
            try:
                if login == "superuser":
                    # What is to be mended may be that the whole server is set to be read only.
                    await connection.execute("set default_transaction_read_only = off")
                return await _rows(await connection.execute(text, values))
            except psycopg_error() as error:
                raise refused(error) from None
            finally:
                connection.pgconn.finish()

    async def _connect(self, login: Login) -> psycopg.AsyncConnection[Any]:
        import psycopg

        try:
            return await psycopg.AsyncConnection.connect(
                self.url(login).reveal(), autocommit=True, cursor_factory=psycopg.AsyncRawCursor,
                prepare_threshold=None, connect_timeout=3, application_name="tenantry doctor", client_encoding="UTF8",
            )  # fmt: skip
        except psycopg.Error as error:
            raise refused(error) from None

    def _taken(self, login: Login) -> psycopg.AsyncConnection[Any] | None:
        idle = self._idle.get(login)
        return idle.pop() if idle else None

    def rest(self) -> None:
        """End the connections that were kept: whoever looks again later meets the server as it is then."""
        for connections in self._idle.values():
            for connection in connections:
                connection.pgconn.finish()
        self._idle.clear()

    def _queue(self) -> asyncio.Semaphore:
        """One for each event loop: a place may be looked at by several runs."""
        loop = asyncio.get_running_loop()
        if self._few is None or self._few[0] is not loop:
            self._few = (loop, asyncio.Semaphore(MOST_CONNECTIONS))
        return self._few[1]

    def url(self, login: Login) -> DatabaseUrl:
        """The URL of a login. Raises NotApplicable where there is no database yet."""
        from tenantry.runbook.model import NotApplicable

        if self.urls is None:
            raise NotApplicable("no database is configured, and no embedded one was made yet")
        if login == "superuser":
            if self.superuser is None:
                raise NotApplicable("no superuser was given (--superuser-url URL)")
            return self.superuser
        return getattr(self.urls, login)

    async def get(self, url: str, *, seconds: float = 2.0, headers: Mapping[str, str] | None = None) -> Answer:
        """GET, without following anything. Raises OSError, TimeoutError."""
        started, seconds = time.perf_counter(), seconds * self.patience
        async with asyncio.timeout(seconds):
            return await asyncio.to_thread(_get, url, seconds, dict(headers or {}), started)

    async def post(self, url: str, form: Mapping[str, str], *, seconds: float = 2.5) -> Answer:
        """POST of a form, without following anything. Raises OSError, TimeoutError."""
        from urllib.parse import urlencode

        started = time.perf_counter()
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        async with asyncio.timeout(seconds):
            return await asyncio.to_thread(_get, url, seconds, headers, started, urlencode(form).encode())

    async def run(self, *argv: str, seconds: float = 3.0) -> tuple[int, str]:
        """Exit code and output (masked) of a program. Raises NotApplicable if it is not there, TimeoutError."""
        from tenantry.runbook.model import NotApplicable

        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except (FileNotFoundError, PermissionError):
            raise NotApplicable(f"{argv[0]} is not here") from None
        try:
            async with asyncio.timeout(seconds):
                output, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            raise
        return process.returncode or 0, masked(output.decode("utf-8", "replace"))


def _get(url: str, seconds: float, headers: dict[str, str], started: float, body: bytes | None = None) -> Answer:
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=seconds)
    try:
        method = "GET" if body is None else "POST"
        connection.request(method, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, headers)
        answer = connection.getresponse()
        body = answer.read(1 << 20)
    except (TimeoutError, http.client.HTTPException) as error:
        raise OSError(str(error)) from None
    finally:
        connection.close()
    took = (time.perf_counter() - started) * 1000
    return Answer(answer.status, body, {k.lower(): v for k, v in answer.getheaders()}, took)


def psycopg_error() -> type[Exception]:
    """The driver's base of errors, imported late: the doctor starts without a database too."""
    import psycopg

    return psycopg.Error


def refused(error: Exception) -> Refusal:
    """An error of the driver's as what was said, without secrets."""
    return Refusal(_sqlstate(error), masked(" ".join(str(error).split())))


async def _rows(cursor: psycopg.AsyncCursor[Any]) -> list[dict[str, Any]]:
    if cursor.description is None:
        return []
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]


def _sqlstate(error: Any) -> str:
    """Of an error of the server; of a failed connection the one that stands in its words, where there is one."""
    if error.sqlstate:
        return str(error.sqlstate)
    words = str(error)
    for sqlstate, sign in (
        ("28P01", "password authentication failed"), ("28000", "no pg_hba.conf entry"), ("28000", "rejects connection"),
        ("28000", "is not permitted to log in"), ("42501", "permission denied for database"), ("3D000", "does not exist"), ("53300", "too many"), ("53300", "remaining connection slots"),
        ("57P03", "starting up"), ("57P03", "shutting down"), ("57P03", "in recovery mode"), ("55000", "not currently accepting connections"),
        ("08P01", "certificate"), ("08P01", "SSL"), ("08001", "Connection refused"), ("08001", "could not translate host name"),
    ):  # fmt: skip
        if sign in words:
            return sqlstate
    return ""


def _kept(home: Path) -> dict[str, Any]:
    try:
        found: Any = msgspec.json.decode((home / "serve.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}

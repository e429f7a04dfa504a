"""Every setting of Tenantry: one name, one default, one unit, one line of docs. This is the only place to add one.

`Settings` is frozen; `Settings.load()` makes it from the environment and a `.env` file (`reading.py`), all faults at
once. An application's own settings are fields of a subclass: `tracker_token: Secret` is read from `TRACKER_TOKEN` in
the same way. Nothing here looks at a server: whether workers and pools fit into `max_connections` is asked when it is
known (`tenancy.guard`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Self, dataclass_transform

import msgspec
from msgspec.structs import replace

from tenantry.settings.secret import DatabaseUrl, Secret

if TYPE_CHECKING:
    from tenantry.settings.reading import Described, Shown


LEAST_SHARED_POOL = 4
"""Of a smaller pool no connection is shared by itself: writes and slow reads need every one."""


class Setting(NamedTuple):
    """What a type cannot say about a setting: its name outside, its unit, its bounds, and its line of docs."""

    name: str
    says: str
    unit: str = ""
    least: int | None = None
    most: int | None = None
    shown_default: str = ""
    fallback: str = ""
    """Another name that is read where this one is not given (Auth.js' older names)."""


class Urls(msgspec.Struct, frozen=True):
    """Where a database is, for each login role: given, derived, or those of the embedded server."""

    platform: DatabaseUrl
    auth: DatabaseUrl
    ops: DatabaseUrl
    admin: DatabaseUrl
    direct: DatabaseUrl


@dataclass_transform(kw_only_default=True, frozen_default=True)
class _SettingsMeta(msgspec.StructMeta):
    """Fields by name only, and frozen, in subclasses too: else a required field could not follow one with a default."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> _SettingsMeta:
        kwargs = {"frozen": True, "kw_only": True, **kwargs}
        return super().__new__(cls, name, bases, namespace, **kwargs)


@dataclass_transform(kw_only_default=True, frozen_default=True)  # again: mypy looks at base classes before metaclasses
class Settings(msgspec.Struct, metaclass=_SettingsMeta):
    """One frozen object with every setting; attributes are the names in lower case, without `TENANTRY_`."""

    database_url: Annotated[
        DatabaseUrl | None,
        Setting(
            "DATABASE_URL",
            "PostgreSQL for requests, as role platform, direct or through PgBouncer.",
            shown_default="the embedded server under TENANTRY_HOME",
        ),
    ] = None
    database_auth_url: Annotated[
        DatabaseUrl | None,
        Setting(
            "DATABASE_AUTH_URL",
            "The same database for sign-in and sessions, as role tenantry_auth.",
            shown_default="DATABASE_URL with that role",
        ),
    ] = None
    database_ops_url: Annotated[
        DatabaseUrl | None,
        Setting(
            "DATABASE_OPS_URL",
            "The same database for health checks and the doctor, as role tenantry_ops.",
            shown_default="DATABASE_DIRECT_URL with that role",
        ),
    ] = None
    database_admin_url: Annotated[
        DatabaseUrl | None,
        Setting(
            "DATABASE_ADMIN_URL",
            "The same database for migrations: a superuser for the first one, tenantry_migrate afterwards.",
            shown_default="DATABASE_DIRECT_URL as tenantry_migrate",
        ),
    ] = None
    database_direct_url: Annotated[
        DatabaseUrl | None,
        Setting(
            "DATABASE_DIRECT_URL",
            "The server itself, when DATABASE_URL is a pooler.",
            shown_default="DATABASE_URL",
        ),
    ] = None
    env: Annotated[
        Literal["development", "production"],
        Setting(
            "TENANTRY_ENV",
            "In development clients see the cause of an internal error.",
            shown_default="production if DATABASE_URL is set, else development",
        ),
    ] = "development"
    home: Annotated[
        Path,
        Setting("TENANTRY_HOME", "Folder of the embedded server, its log, and the ports that were chosen."),
    ] = Path(".tenantry")
    host: Annotated[str, Setting("HOST", "Address that the API listens on.")] = "127.0.0.1"
    port: Annotated[
        int,
        Setting(
            "PORT",
            "Port of the API.",
            "port",
            0,
            65535,
            shown_default="3001 where free, else another, kept in TENANTRY_HOME",
        ),
    ] = 3001
    postgres_port: Annotated[
        int | None,
        Setting(
            "TENANTRY_POSTGRES_PORT",
            "Loopback port of the embedded server, when its data is made.",
            "port",
            1,
            65535,
            shown_default="5432 where free, else another, kept in TENANTRY_HOME",
        ),
    ] = None
    app: Annotated[
        str | None,
        Setting("TENANTRY_APP", "The application to serve, as module:name, where the command does not say."),
    ] = None
    base_path: Annotated[str, Setting("TENANTRY_BASE_PATH", "Path under which procedures are called.")] = "/trpc"
    cors_origins: Annotated[
        str,
        Setting(
            "TENANTRY_CORS_ORIGINS",
            "Origins of front ends on other hosts, with commas between: https://app.example,https://admin.example.",
            shown_default="none",
        ),
    ] = ""
    migrations: Annotated[Path, Setting("TENANTRY_MIGRATIONS", "Folder of the application's SQL files.")] = Path(
        "migrations"
    )
    workers: Annotated[int, Setting("TENANTRY_WORKERS", "Worker processes.", "processes", 1, 256)] = 1
    memory_limit: Annotated[
        int,
        Setting(
            "TENANTRY_MEMORY_LIMIT",
            "A worker that uses more memory is replaced; 0 is no limit.",
            "bytes",
            0,
            1 << 50,
            shown_default="max_memory_restart under PM2, else 0",
        ),
    ] = 0
    hang_seconds: Annotated[
        int,
        Setting(
            "TENANTRY_HANG_SECONDS",
            "A worker whose event loop does not turn for so long is ended, and replaced.",
            "seconds",
            2,
            86_400,
        ),
    ] = 30
    drain_ms: Annotated[
        int,
        Setting(
            "TENANTRY_DRAIN_MS",
            "Longest time for what is under way when a worker ends; keep it below PM2's kill_timeout.",
            "milliseconds",
            0,
            3_600_000,
        ),
    ] = 6000
    hold_seconds: Annotated[
        int,
        Setting(
            "TENANTRY_HOLD_SECONDS",
            "How long the listening socket is kept open after a stop, so that a restart refuses no client; 0 is not at all.",
            "seconds",
            0,
            86_400,
        ),
    ] = 30
    tick: Annotated[
        int, Setting("TENANTRY_TICK", "Step in which the watcher looks and alerts are judged.", "seconds", 1, 3600)
    ] = 15
    pool_size: Annotated[
        int, Setting("TENANTRY_POOL_SIZE", "Connections of a worker for requests.", "connections", 1, 1000)
    ] = 10
    fast_lane: Annotated[
        Literal["auto", "off"],
        Setting(
            "TENANTRY_FAST_LANE",
            "Whether fast queries that are in flight at once share a connection, many in one write; never through a pooler.",
        ),
    ] = "auto"
    fast_lane_connections: Annotated[
        int | None,
        Setting(
            "TENANTRY_FAST_LANE_CONNECTIONS",
            "How many of TENANTRY_POOL_SIZE fast queries may share; they are ordinary ones while nothing shares them.",
            "connections",
            1,
            100,
            shown_default="a fifth of the pool; none of a pool under 4",
        ),
    ] = None
    auth_pool_size: Annotated[
        int,
        Setting("TENANTRY_AUTH_POOL_SIZE", "Connections of a worker for sign-in and sessions.", "connections", 1, 100),
    ] = 2
    pool_queue: Annotated[
        int,
        Setting(
            "TENANTRY_POOL_QUEUE",
            "Requests of a worker that may wait for a connection; more are refused with 503.",
            "requests",
            0,
            1_000_000,
        ),
    ] = 1000
    pool_wait_ms: Annotated[
        int,
        Setting("TENANTRY_POOL_WAIT_MS", "Longest wait for a connection; then 503.", "milliseconds", 1, 600_000),
    ] = 5000
    tenant_share: Annotated[
        int,
        Setting(
            "TENANTRY_TENANT_SHARE",
            "Part of a worker's pool that one tenant may hold while others want it too; 100 is no bound. Alone it may have nearly all.",
            "percent",
            1,
            100,
        ),
    ] = 50
    tenant_rate: Annotated[
        int | None,
        Setting(
            "TENANTRY_TENANT_RATE",
            "Requests a second that one worker takes of one tenant; more are refused with 429.",
            "requests a second",
            1,
            1_000_000,
            shown_default="any number",
        ),
    ] = None
    tenant_budget: Annotated[
        int | None,
        Setting(
            "TENANTRY_TENANT_BUDGET",
            "Time in the database that one tenant may take of one worker; ten seconds' worth may be spent ahead, then 429.",
            "seconds a minute",
            1,
            60_000,
            shown_default="any amount",
        ),
    ] = None
    deadline_ms: Annotated[
        int,
        Setting(
            "TENANTRY_DEADLINE_MS",
            "Longest time of a request in the database, where the procedure names none.",
            "milliseconds",
            1,
            3_600_000,
        ),
    ] = 10_000
    idle_in_transaction_ms: Annotated[
        int,
        Setting(
            "TENANTRY_IDLE_IN_TRANSACTION_MS",
            "Longest time that a handler may hold its transaction without a statement; then it is rolled back.",
            "milliseconds",
            1,
            3_600_000,
        ),
    ] = 5000
    slow_statement_ms: Annotated[
        int,
        Setting(
            "TENANTRY_SLOW_STATEMENT_MS",
            "Statements that take longer are logged with their procedure, and their calls always; -1 is none.",
            "milliseconds",
            -1,
            3_600_000,
        ),
    ] = 1000
    allow_logged_bind_values: Annotated[
        bool,
        Setting(
            "TENANTRY_ALLOW_LOGGED_BIND_VALUES",
            "Serve even if the server's log may hold bind values, and so session tokens.",
        ),
    ] = False
    max_body_bytes: Annotated[
        int, Setting("TENANTRY_MAX_BODY_BYTES", "Largest body of a request.", "bytes", 1, 1 << 30)
    ] = 1_048_576
    max_header_bytes: Annotated[
        int, Setting("TENANTRY_MAX_HEADER_BYTES", "Largest request line and headers together.", "bytes", 1024, 1 << 24)
    ] = 131_072
    max_batch: Annotated[int, Setting("TENANTRY_MAX_BATCH", "Calls in one batch.", "calls", 1, 10_000)] = 50
    max_rows: Annotated[
        int, Setting("TENANTRY_MAX_ROWS", "Rows that one statement may give to a handler.", "rows", 1, 10_000_000)
    ] = 10_000
    max_event_bytes: Annotated[
        int,
        Setting("TENANTRY_MAX_EVENT_BYTES", "Largest value of one event, as JSON.", "bytes", 1, 1_048_576),
    ] = 65_536
    events_retention_hours: Annotated[
        int,
        Setting(
            "TENANTRY_EVENTS_RETENTION_HOURS",
            "How long events are kept, so that a client can go on after the last one that it saw.",
            "hours",
            1,
            8760,
        ),
    ] = 24
    events_most_mb: Annotated[
        int,
        Setting(
            "TENANTRY_EVENTS_MOST_MB",
            "Room for all kept events with their indexes; beyond it the oldest go before their time.",
            "megabytes",
            1,
            10_000_000,
        ),
    ] = 4096
    events_queue: Annotated[
        int,
        Setting(
            "TENANTRY_EVENTS_QUEUE",
            "Events that may wait for one slow subscriber; then its subscription ends, and its client goes on after its last id.",
            "events",
            1,
            1_000_000,
        ),
    ] = 1000
    log: Annotated[
        Literal["auto", "json", "text"],
        Setting(
            "TENANTRY_LOG", "Form of the log; auto is text on a terminal and under serve --reload, else JSON lines."
        ),
    ] = "auto"

    otlp_endpoint: Annotated[
        str | None,
        Setting(
            "TENANTRY_OTLP_ENDPOINT",
            "Where metrics and spans go by OTLP over HTTP (the extra otel): http://127.0.0.1:4318.",
            shown_default="nowhere",
        ),
    ] = None
    backups: Annotated[
        Path | None,
        Setting(
            "TENANTRY_BACKUPS",
            "Folder of the backups, and of the note of the last proven restore, which the doctor reads.",
            shown_default="backups in TENANTRY_HOME",
        ),
    ] = None
    backup_passphrase: Annotated[
        Secret | None,
        Setting("TENANTRY_BACKUP_PASSPHRASE", "Encrypts backups, and opens them again.", shown_default="none"),
    ] = None
    restore_days: Annotated[
        int,
        Setting(
            "TENANTRY_RESTORE_DAYS", "A restore that was proved longer ago is old: the doctor says so.", "days", 1, 3650
        ),
    ] = 30
    service: Annotated[str, Setting("TENANTRY_SERVICE", "Name of this service in alerts, incidents and messages.")] = (
        "platform-api"
    )
    notify: Annotated[
        Secret | None,
        Setting(
            "TENANTRY_NOTIFY",
            "Channels that read along (Slack): apprise URLs with spaces between, each with an optional [severity section] before it.",
            shown_default="none",
        ),
    ] = None
    notify_l1: Annotated[
        Secret | None,
        Setting(
            "TENANTRY_NOTIFY_L1",
            "Channels that page level 1, the first that takes the page: apprise URLs.",
            shown_default="none",
        ),
    ] = None
    notify_l2: Annotated[
        Secret | None, Setting("TENANTRY_NOTIFY_L2", "The same for level 2.", shown_default="none")
    ] = None
    notify_l3: Annotated[
        Secret | None, Setting("TENANTRY_NOTIFY_L3", "The same for level 3.", shown_default="none")
    ] = None
    oncall: Annotated[
        Path | None,
        Setting("TENANTRY_ONCALL", "The on-call list.", shown_default="oncall.toml in TENANTRY_HOME"),
    ] = None
    heartbeat_url: Annotated[
        Secret | None,
        Setting(
            "TENANTRY_HEARTBEAT_URL",
            "Asked by GET each minute while the watcher is well: a watcher outside this machine that pages when it stops.",
            shown_default="none",
        ),
    ] = None
    pagerduty_secret: Annotated[
        Secret | None,
        Setting(
            "TENANTRY_PAGERDUTY_SECRET",
            "Signing secret of PagerDuty's webhook to /hooks/pagerduty, which brings acknowledgements.",
            shown_default="none: the webhook is not served",
        ),
    ] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Setting(
            "TENANTRY_LOG_LEVEL", "What is logged: from this level on; the lines of calls are info, or error for 5xx."
        ),
    ] = "info"
    log_rate: Annotated[
        int,
        Setting(
            "TENANTRY_LOG_RATE",
            "Good and quick calls of a worker that have a line each second; the rest are counted. Failed and slow ones always have one.",
            "calls a second",
            0,
            1_000_000,
        ),
    ] = 200
    ops_host: Annotated[str, Setting("TENANTRY_OPS_HOST", "Address of the ops listener (health, metrics).")] = (
        "127.0.0.1"
    )
    ops_port: Annotated[
        int | None,
        Setting(
            "TENANTRY_OPS_PORT",
            "Port of the ops listener. Under a stock ASGI server there is one only if this is set.",
            "port",
            0,
            65535,
            shown_default="9464 where free, else another, kept in TENANTRY_HOME",
        ),
    ] = None
    ops_token: Annotated[
        Secret | None,
        Setting(
            "TENANTRY_OPS_TOKEN",
            "If set, metrics and the details of health checks need it: Authorization: Bearer.",
            shown_default="none; details are for loopback only",
        ),
    ] = None
    public_metrics: Annotated[bool, Setting("TENANTRY_PUBLIC_METRICS", "Serve /metrics on the API's own port too.")] = (
        False
    )

    # Sign-in: the names are Auth.js' own where it has one.
    auth_secret: Annotated[
        Secret | None,
        Setting(
            "AUTH_SECRET",
            "Signs CSRF tokens and seals what a sign-in carries; at least 32 bytes. Sessions do not depend on it.",
            shown_default="in development one is made and kept in TENANTRY_HOME",
            fallback="NEXTAUTH_SECRET",
        ),
    ] = None
    auth_secret_1: Annotated[Secret | None, Setting("AUTH_SECRET_1", "Signs before AUTH_SECRET does.")] = None
    auth_secret_2: Annotated[Secret | None, Setting("AUTH_SECRET_2", "Signs before AUTH_SECRET_1 does.")] = None
    auth_secret_3: Annotated[Secret | None, Setting("AUTH_SECRET_3", "Signs before AUTH_SECRET_2 does.")] = None
    auth_secret_previous: Annotated[
        Secret | None,
        Setting("AUTH_SECRET_PREVIOUS", "Verifies only: the secret before the last `tenantry secret rotate`."),
    ] = None
    auth_url: Annotated[
        str | None,
        Setting(
            "AUTH_URL",
            "Public origin of front end and API, as https://app.example; a path may be / or /api/auth.",
            shown_default="in development the Host of the request, if it is loopback",
            fallback="NEXTAUTH_URL",
        ),
    ] = None
    auth_trust_host: Annotated[
        bool, Setting("AUTH_TRUST_HOST", "Without AUTH_URL: take the public origin from trusted proxies' headers.")
    ] = False
    auth_hosts: Annotated[
        str,
        Setting(
            "AUTH_HOSTS", "Hosts that AUTH_TRUST_HOST may take, with commas between.", shown_default="any from a proxy"
        ),
    ] = ""
    auth_redirect_origins: Annotated[
        str,
        Setting(
            "AUTH_REDIRECT_ORIGINS",
            "Further origins that sign-in may lead back to and be asked from, exact, with commas between.",
            shown_default="none",
        ),
    ] = ""
    auth_session_max_age: Annotated[
        int, Setting("AUTH_SESSION_MAX_AGE", "How long a session lives unused.", "seconds", 60, 31_536_000)
    ] = 2_592_000
    auth_session_update_age: Annotated[
        int, Setting("AUTH_SESSION_UPDATE_AGE", "How often its end moves on.", "seconds", 0, 31_536_000)
    ] = 86_400
    auth_session_absolute_age: Annotated[
        int,
        Setting(
            "AUTH_SESSION_ABSOLUTE_AGE",
            "How long after sign-in it ends all the same; 0: never.",
            "seconds",
            0,
            315_360_000,
        ),
    ] = 0
    auth_sign_up: Annotated[
        Literal["invited", "open"],
        Setting("AUTH_SIGN_UP", "Who may become a person here: the invited alone, or anybody who signs in."),
    ] = "invited"
    tenant_sign_up: Annotated[
        Literal["operator", "anyone"],
        Setting(
            "TENANTRY_TENANT_SIGN_UP",
            "Who may found a tenant: `tenantry tenants create` alone, or any signed-in person.",
        ),
    ] = "operator"
    auth_link_verified_email: Annotated[
        bool,
        Setting(
            "AUTH_LINK_VERIFIED_EMAIL",
            "A further provider's account joins the person of the same address, if both sides verified it.",
        ),
    ] = False
    auth_store_provider_tokens: Annotated[
        bool, Setting("AUTH_STORE_PROVIDER_TOKENS", "Keep the providers' tokens, sealed by AUTH_SECRET.")
    ] = False
    auth_rate_limits: Annotated[
        Literal["on", "off"], Setting("AUTH_RATE_LIMITS", "Limits by sender; off outside production only, for tests.")
    ] = "on"
    auth_google_id: Annotated[str | None, Setting("AUTH_GOOGLE_ID", "Client id: turns Google on.")] = None
    auth_google_secret: Annotated[Secret | None, Setting("AUTH_GOOGLE_SECRET", "Client secret at Google.")] = None
    auth_google_issuer: Annotated[str, Setting("AUTH_GOOGLE_ISSUER", "Google's issuer.")] = (
        "https://accounts.google.com"
    )
    auth_google_hd: Annotated[
        str,
        Setting(
            "AUTH_GOOGLE_HD", "Google Workspace domains that may sign in, with commas between.", shown_default="all"
        ),
    ] = ""
    auth_microsoft_entra_id_id: Annotated[
        str | None, Setting("AUTH_MICROSOFT_ENTRA_ID_ID", "Client id: turns Microsoft Entra ID on.")
    ] = None
    auth_microsoft_entra_id_secret: Annotated[
        Secret | None, Setting("AUTH_MICROSOFT_ENTRA_ID_SECRET", "Client secret at Microsoft.")
    ] = None
    auth_microsoft_entra_id_issuer: Annotated[
        str, Setting("AUTH_MICROSOFT_ENTRA_ID_ISSUER", "…/common/v2.0, …/organizations/v2.0, or …/<tenant id>/v2.0.")
    ] = "https://login.microsoftonline.com/common/v2.0"
    auth_microsoft_entra_id_tenants: Annotated[
        str,
        Setting(
            "AUTH_MICROSOFT_ENTRA_ID_TENANTS",
            "Entra tenant ids that may sign in, with commas between.",
            shown_default="all that the issuer lets in",
        ),
    ] = ""
    auth_email_server: Annotated[
        Secret | None,
        Setting(
            "AUTH_EMAIL_SERVER",
            "Turns the e-mail link on: smtp://USER:PASSWORD@HOST:PORT, smtps://…; in development console: or dir:PATH.",
        ),
    ] = None
    auth_email_from: Annotated[str, Setting("AUTH_EMAIL_FROM", "Sender of mails: Acme <login@acme.example>.")] = ""
    auth_pages_sign_in: Annotated[
        str | None, Setting("AUTH_PAGES_SIGN_IN", "The front end's own page instead of ours.")
    ] = None
    auth_pages_sign_out: Annotated[str | None, Setting("AUTH_PAGES_SIGN_OUT", "The same for signing out.")] = None
    auth_pages_error: Annotated[str | None, Setting("AUTH_PAGES_ERROR", "The same for errors.")] = None
    auth_pages_verify_request: Annotated[
        str | None, Setting("AUTH_PAGES_VERIFY_REQUEST", 'The same for "look into your mail".')
    ] = None
    auth_pages_new_user: Annotated[
        str | None, Setting("AUTH_PAGES_NEW_USER", "Where a person goes after the first sign-in.")
    ] = None
    auth_theme_name: Annotated[str, Setting("AUTH_THEME_NAME", "The name on sign-in pages and in mails.")] = "Tenantry"
    auth_theme_color: Annotated[str, Setting("AUTH_THEME_COLOR", "Colour of the buttons, as #rrggbb.")] = "#2f5fd0"
    trusted_proxies: Annotated[
        str,
        Setting(
            "TENANTRY_TRUSTED_PROXIES",
            "Addresses or networks whose X-Forwarded-* headers count, with commas between: 10.0.0.0/8.",
            shown_default="none",
        ),
    ] = ""

    oidc_providers: Mapping[str, Mapping[str, Secret]] = {}
    """Any OpenID Connect provider: AUTH_OIDC_<NAME>_ISSUER, _ID, _SECRET, and _LABEL for its button; id `oidc-<name>`."""
    sources: Mapping[str, str] = {}
    """Where each value came from, by name: "environment" or ".env:12"; names that are missing have their default."""
    warnings: tuple[str, ...] = ()
    """What was found beside the settings and is probably a mistake: names that nothing reads."""

    BUILT_IN: ClassVar[frozenset[str]]
    RESERVED_CONNECTIONS: ClassVar[int] = 8
    """Left free on the server: 3 for superusers (PostgreSQL's default), 2 for health checks, 3 for psql."""

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, dotenv: str | Path | None = ".env") -> Self:
        """Read the environment and the file `dotenv` (which need not exist); the environment wins.

        Raises SettingsFaulty with every fault that was found, each with its remedy.
        """
        from tenantry.settings.reading import load

        return load(cls, environ, dotenv)

    @classmethod
    def describe(cls) -> list[Described]:
        """Every setting with name, type, default, unit and docs, in order, for the reference page."""
        from tenantry.settings.reading import describe

        return describe(cls)

    def shown(self) -> list[Shown]:
        """Every setting with its value as it may be printed, and where it came from."""
        from tenantry.settings.reading import shown

        return shown(self)

    def secrets(self) -> list[str]:
        """Every secret text of these settings: passwords in URLs, tokens. For blotting them out, never for showing."""
        found: list[str] = []
        for name in type(self).__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, DatabaseUrl):
                found.append(value.password)
            elif isinstance(value, Secret):
                found.append(value.reveal())
        return [text for text in found if text]

    @property
    def connections_wanted(self) -> int:
        """How many connections all workers together may open; the last one of each hears of events."""
        return self.workers * (self.pool_size + self.auth_pool_size + 1)

    def connections_shared(self) -> int:
        """How many connections of a worker's pool the fast lane may share; one at least is left for all else."""
        if self.fast_lane == "off":
            return 0
        if self.fast_lane_connections is not None:
            return min(self.fast_lane_connections, self.pool_size - 1)
        return self.pool_size // 5 or (1 if self.pool_size >= LEAST_SHARED_POOL else 0)

    def is_given(self, name: str) -> bool:
        """Tell whether the setting of this outside name (`"PORT"`) was given, or has its default."""
        return name in self.sources

    def urls(self) -> Urls:
        """The URL of every login role. Raises ValueError where there is no DATABASE_URL and no embedded server yet."""
        if self.database_url is None:
            message = "no database yet: start the embedded one, and take settings.with_urls(...)"
            raise ValueError(message)
        direct = self.database_direct_url or self.database_url
        return Urls(
            platform=self.database_url,
            auth=self.database_auth_url or self.database_url.with_user("tenantry_auth"),
            ops=self.database_ops_url or direct.with_user("tenantry_ops"),
            admin=self.database_admin_url or direct.with_user("tenantry_migrate"),
            direct=direct,
        )

    def with_urls(self, urls: Urls) -> Self:
        """Give the same settings with these URLs filled in where none is given: what the embedded server answers."""
        return replace(
            self,
            database_url=self.database_url or urls.platform,
            database_auth_url=self.database_auth_url or urls.auth,
            database_ops_url=self.database_ops_url or urls.ops,
            database_admin_url=self.database_admin_url or urls.admin,
            database_direct_url=self.database_direct_url or urls.direct,
        )


Settings.BUILT_IN = frozenset(Settings.__struct_fields__)

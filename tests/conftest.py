"""Real PostgreSQL for every test: one server a worker process, one database a test, made from a migrated template."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tenantry.db.embedded import Embedded
from tenantry.db.migrate import Migration, push
from tenantry.settings import DatabaseUrl, Settings, Urls
from tenantry.tenancy import REPAIRS, builtin_migrations

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Person:
    """A member with a live session."""

    token: str
    user_id: UUID
    email: str


@dataclass(frozen=True)
class Tenant:
    """A tenant with one person of each role."""

    id: UUID
    owner: Person
    admin: Person
    member: Person


@dataclass(frozen=True)
class People:
    """Two tenants that share nobody."""

    acme: Tenant
    globex: Tenant


class Database:
    """A migrated database of one test."""

    def __init__(self, urls: Urls, superuser: DatabaseUrl) -> None:
        self.urls = urls
        self.superuser = superuser
        self.home = Path(tempfile.mkdtemp(prefix="tenantry-home-"))
        self.admin: psycopg.Connection[Any] = psycopg.connect(
            superuser.reveal(), autocommit=True, cursor_factory=psycopg.RawCursor
        )

    def settings(self, **over: Any) -> Settings:
        """Settings over this database; `over` by attribute name."""
        urls = self.urls
        given: dict[str, Any] = {
            "database_url": urls.platform, "database_auth_url": urls.auth, "database_ops_url": urls.ops,
            "database_admin_url": urls.admin, "database_direct_url": urls.direct, "pool_size": 4, "home": self.home, "log_rate": 0, **over,
        }  # fmt: skip
        return Settings(**given)

    def value(self, text: str, *values: Any) -> Any:
        """The first column of the first row, as superuser."""
        row = self.admin.execute(text, values).fetchone()
        return None if row is None else row[0]

    def add_tenant(self, slug: str) -> UUID:
        return self.value("select tenantry.create_tenant($1, $2)", slug, slug.title())

    def add_member(self, slug: str, email: str, role: str) -> Person:
        """A member of the tenant, with a session in it."""
        tenant = self.value("select id from tenantry.tenants where slug = $1", slug)
        user = self.value(
            "select tenantry.add_member($1, $2, $3, $4)", tenant, email, email.split("@")[0].title(), role
        )
        token = secrets.token_urlsafe(32)
        self.value("select tenantry.create_session($1, $2, $3, interval '1 day')", token.encode(), email, tenant)
        return Person(token, user, email)

    def add_members(self, slug: str, count: int) -> None:
        """Members without a session."""
        tenant = self.value("select id from tenantry.tenants where slug = $1", slug)
        for _ in range(count):
            email = f"m{next(_numbers)}@{slug}.example"
            self.value("select tenantry.add_member($1, $2, 'Member', 'member')", tenant, email)


class Cluster:
    """A server with a migrated template."""

    def __init__(self, embedded: Embedded, home: Path) -> None:
        self.embedded = embedded
        self.home = home
        embedded.ensure()
        self.urls = embedded.urls()
        self.superuser = embedded.superuser_url()
        self.admin = psycopg.connect(
            self.superuser.with_database("postgres").reveal(), autocommit=True, cursor_factory=psycopg.RawCursor
        )
        # Nothing here must survive the machine: what a crash of the server itself does is tested on servers of their own.
        for setting in ("fsync", "full_page_writes"):
            self.admin.execute(f"alter system set {setting} = off")
        self.admin.execute("select pg_reload_conf()")
        self.templates: dict[str, tuple[str, ...]] = {}
        self.template = self.make_template("template", [])

    def make_template(self, name: str, more: list[Migration]) -> str:
        """A migrated database, to make others from; made once a server, whatever folder of tests asks first."""
        texts = tuple(one.text for one in more)
        if name in self.templates:
            assert self.templates[name] == texts, f"two templates are called {name}"
            return name
        self.templates[name] = texts
        self.admin.execute(f"create database {name}")
        migrations = [Migration(n, text, "built-in") for n, text in builtin_migrations()]
        push(self.superuser.with_database(name), [*migrations, *more], urls=self.urls, repairs=REPAIRS)
        return name

    @contextlib.contextmanager
    def database(self, template: str | None = None) -> Iterator[Database]:
        """A database from the template, dropped afterwards. Settings of roles in a database are not copied: put back."""
        template = template or self.template
        name = f"t{next(_numbers)}"
        self.admin.execute(f"create database {name} template {template} strategy file_copy")
        self.admin.execute(
            "do $$ declare s record; pair text; begin"
            "  for s in select r.rolname, unnest(c.setconfig) as setting from pg_db_role_setting c join pg_roles r on r.oid = c.setrole"
            f"   join pg_database d on d.oid = c.setdatabase where d.datname = '{template}'"
            "  loop execute format('alter role %I in database %I set %I = %L', s.rolname, '"
            f"{name}', split_part(s.setting, '=', 1), substr(s.setting, strpos(s.setting, '=') + 1)); end loop;"
            f" revoke all on database {name} from public;"
            f" grant connect on database {name} to platform, tenantry_auth, tenantry_ops, tenantry_migrate; end $$"
        )
        urls = Urls(*(getattr(self.urls, field).with_database(name) for field in Urls.__struct_fields__))
        made = Database(urls, self.superuser.with_database(name))
        try:
            yield made
        finally:
            made.admin.close()
            shutil.rmtree(made.home, ignore_errors=True)
            self.admin.execute(f"drop database {name} with (force)")

    def stop(self) -> None:
        self.admin.close()
        place = self.embedded.status().data.parent
        self.embedded.stop()
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.rmtree(place, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _cluster(programs: Path | None) -> Iterator[Cluster]:
    home = Path(tempfile.mkdtemp(prefix="tenantry-test-"))
    home.chmod(0o755)  # the server's own account must get in
    cluster = Cluster(Embedded(home / "home", free_port(), programs_in=programs), home)
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def cluster18() -> Iterator[Cluster]:
    yield from _cluster(None)


@pytest.fixture(scope="session")
def cluster15() -> Iterator[Cluster]:
    if not (DEBIAN_15 / "initdb").exists():
        pytest.skip("Debian's PostgreSQL 15 is not here")
    yield from _cluster(DEBIAN_15)


@pytest.fixture
def cluster(cluster18: Cluster) -> Cluster:
    """The server of a test; another version by a fixture of the same name."""
    return cluster18


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Database]:
    with cluster.database() as made:
        yield made


@pytest.fixture
def people(database: Database) -> People:
    tenants: dict[str, Tenant] = {}
    for slug in ("acme", "globex"):
        id_ = database.add_tenant(slug)
        owner, admin, member = (
            database.add_member(slug, f"{role}@{slug}.example", role) for role in ("owner", "admin", "member")
        )
        tenants[slug] = Tenant(id_, owner, admin, member)
    return People(tenants["acme"], tenants["globex"])


os.environ.pop("DATABASE_URL", None)

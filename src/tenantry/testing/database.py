"""A database for each test, from a template with all migrations: made once for each state of them, on the development server."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from tenantry.processes.place import embedded, migrations
from tenantry.settings import DatabaseUrl, Urls

if TYPE_CHECKING:
    from tenantry.settings import Settings

_numbers = itertools.count(1)
_ROLES = "platform, tenantry_auth, tenantry_ops, tenantry_migrate"
_SAME_SETTINGS = """
do $$
declare
    s record;
begin
    for s in select r.rolname, unnest(c.setconfig) as setting
               from pg_catalog.pg_db_role_setting c
               join pg_catalog.pg_roles r on r.oid = c.setrole
               join pg_catalog.pg_database d on d.oid = c.setdatabase
              where d.datname = '{template}'
    loop
        execute pg_catalog.format('alter role %I in database {name} set %I = %L', s.rolname,
            split_part(s.setting, '=', 1), substr(s.setting, strpos(s.setting, '=') + 1));
    end loop;
end
$$
"""


class Server:
    """Where databases are made: the embedded server, or the one of DATABASE_ADMIN_URL, whose role must be allowed to."""

    def __init__(self, settings: Settings, permissions: dict[str, Any]) -> None:
        own = embedded(settings)
        if own is None:
            self.urls, self.superuser = settings.urls(), settings.urls().admin
        else:
            self.urls = own.ensure()
            self.superuser = own.superuser_url()
        self.files = migrations(settings)
        self.permissions = permissions
        whole = hashlib.sha256(
            repr([(one.kind, one.name, one.text) for one in self.files]).encode() + repr(permissions).encode()
        )
        self.template = f"tenantry_template_{whole.hexdigest()[:16]}"
        with self._admin("postgres") as admin:
            # One at a time, whatever pytest's workers do; a template that is there is whole.
            admin.execute("select pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended('tenantry.template', 0))")
            if (
                admin.execute("select from pg_catalog.pg_database where datname = $1", (self.template,)).fetchone()
                is None
            ):
                self._make(admin)

    def _make(self, admin: Any) -> None:
        from tenantry.db.migrate import push
        from tenantry.tenancy import REPAIRS

        making = f"{self.template}_making"
        admin.execute(f"drop database if exists {making} with (force)")
        admin.execute(f"create database {making}")
        push(
            self.superuser.with_database(making),
            self.files,
            urls=self.urls,
            repairs=REPAIRS,
            permissions=self.permissions,
        )
        admin.execute(f"alter database {making} rename to {self.template}")

    @contextlib.contextmanager
    def _admin(self, database: str) -> Generator[Any]:
        import psycopg

        url: DatabaseUrl = self.superuser.with_database(database)
        connection = psycopg.connect(url.reveal(), autocommit=True, cursor_factory=psycopg.RawCursor)
        try:
            yield connection
        finally:
            connection.close()

    @contextlib.contextmanager
    def database(self) -> Generator[tuple[Urls, Any]]:
        """A database from the template, and a connection to it that sees every tenant; dropped afterwards."""
        name = f"tenantry_test_{os.getpid()}_{next(_numbers)}"
        with self._admin("postgres") as admin:
            admin.execute(f"create database {name} template {self.template}")
            try:
                admin.execute(_SAME_SETTINGS.replace("{template}", self.template).replace("{name}", name))
                # What a test commits need not survive the machine.
                admin.execute(f"alter database {name} set synchronous_commit = off")
                admin.execute(f"revoke all on database {name} from public")
                admin.execute(f"grant connect on database {name} to {_ROLES}")
                urls = Urls(*(getattr(self.urls, role).with_database(name) for role in Urls.__struct_fields__))
                with self._admin(name) as connection:
                    yield urls, connection
            finally:
                admin.execute(f"drop database {name} with (force)")

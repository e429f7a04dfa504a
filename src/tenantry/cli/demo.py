"""`tenantry demo`: two tenants to look at, each with an owner, an admin and a member; their tokens stay over restarts."""

from __future__ import annotations

import argparse
import secrets
from typing import Any

from tenantry.cli.place import embedded, keep, kept, ready, say, show, url_of
from tenantry.errors import StartError
from tenantry.settings import DatabaseUrl, Settings

PEOPLE = {
    "acme": (("ann@acme.example", "Ann", "owner"), ("abe@acme.example", "Abe", "admin"), ("amy@acme.example", "Amy", "member")),
    "globex": (("gus@globex.example", "Gus", "owner"), ("gil@globex.example", "Gil", "admin"), ("gem@globex.example", "Gem", "member")),
}  # fmt: skip
NOTES = {
    "acme": ("Acme: book the hall", "Acme: order the anvils"),
    "globex": ("Globex: paint the globe", "Globex: call the moon"),
}


class NotForProduction(StartError):
    """Demo people in a production database would be a way in."""

    code = "NOT_FOR_PRODUCTION"
    says = "Demo data is for development, and TENANTRY_ENV is production here."
    remedy = "Set TENANTRY_ENV=development if this database holds nothing of worth."


def fill(settings: Settings, admin: DatabaseUrl) -> list[dict[str, Any]]:
    """Make what is missing, and give the tenants with their sessions."""
    import psycopg

    tokens: dict[str, str] = kept(settings).get("tokens", {})
    found: list[dict[str, Any]] = []
    with psycopg.connect(admin.reveal(), cursor_factory=psycopg.RawCursor) as connection:
        for slug, people in PEOPLE.items():
            tenant = _value(connection, "select tenantry.create_tenant($1, $2)", slug, slug.title())
            sessions: list[dict[str, Any]] = []
            for email, name, role in people:
                user = _value(connection, "select tenantry.add_member($1, $2, $3, $4)", tenant, email, name, role)
                token = tokens.setdefault(email, secrets.token_urlsafe(32))
                _value(
                    connection,
                    "select tenantry.create_session($1, $2, $3, interval '30 days')",
                    token.encode(),
                    email,
                    tenant,
                )
                sessions.append({"email": email, "role": role, "user_id": str(user), "token": token})
            _write_notes(connection, tenant, NOTES[slug])
            found.append({"id": str(tenant), "slug": slug, "sessions": sessions})
    keep(settings, tokens=tokens)
    return found


def _write_notes(connection: Any, tenant: Any, bodies: tuple[str, ...]) -> None:
    """Rows to look at, where there is a table as `tenantry new` makes it; an application's own `notes` may want more than a body."""
    import psycopg

    if not _value(connection, "select pg_catalog.to_regclass('public.notes') is not null"):
        return
    try:
        with connection.transaction():
            if not _value(connection, "select exists (select from public.notes where tenant_id = $1)", tenant):
                for body in bodies:
                    connection.execute("insert into public.notes (tenant_id, body) values ($1, $2)", (tenant, body))
    except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError):
        return


def _value(connection: Any, text: str, *values: Any) -> Any:
    return connection.execute(text, values).fetchone()[0]


def screen(settings: Settings, url: str, tenants: list[dict[str, Any]]) -> None:
    """The lines to paste."""
    say()
    for tenant in tenants:
        owner = tenant["sessions"][0]
        name = tenant["slug"].upper()
        say(f"  # {tenant['slug']}, as {owner['email']} ({owner['role']})")
        say(f"  {name}={owner['token']}")
        for procedure in ("users.list", "notes.recent"):
            say(f'  curl -s -H "authorization: Bearer ${name}" {url}{settings.base_path}/{procedure}')
        say()
    say(f"  curl -s {url}{settings.base_path}/health.check | jq '.checks.database'")
    own = embedded(settings)
    if own is not None:
        env = " ".join(f"{key}='{value}'" for key, value in own.environment().items())
        say(f"  {env} psql -U platform -d platform")
    say()


def run(arguments: argparse.Namespace) -> int:
    """The command."""
    given = Settings.load()
    if given.env == "production":
        raise NotForProduction
    settings, admin = ready(given)
    tenants = fill(settings, admin)
    if not arguments.json:
        screen(given, url_of(settings), tenants)
        return 0
    own = embedded(Settings.load())
    platform = settings.urls().platform if own is None else own.urls().platform
    superuser = admin if own is None else own.superuser_url()
    show(
        {
            "url": url_of(settings),
            "database_url": platform.reveal(),
            "admin_url": superuser.reveal(),
            "tenants": tenants,
        }
    )
    return 0

"""`tenantry tenants create`: a tenant whose first owner has to accept an invitation."""

from __future__ import annotations

import argparse
import hashlib
import re
import secrets

from tenantry.cli.place import ready, say, show, url_of
from tenantry.errors import StartError
from tenantry.settings import Settings

SECONDS = 7 * 86_400


class TenantRefused(StartError):
    """A tenant cannot be made as it was asked for."""

    code = "TENANT_REFUSED"
    says = "The tenant was not made: {why}."
    remedy = "{cure}"


def slug_of(name: str) -> str:
    """`Acme & Sons` → `acme-sons`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-")


def create(arguments: argparse.Namespace) -> int:
    """Make it, invite the owner, and give the link."""
    import psycopg

    from tenantry.auth.address import address

    slug, owner = arguments.slug or slug_of(arguments.name), address(arguments.owner)
    if owner is None:
        raise TenantRefused(why=f"{arguments.owner[:100]!r} is no e-mail address", cure="Look at --owner.")
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", slug):
        raise TenantRefused(why=f"{slug[:70]!r} is no slug", cure="Give one: --slug acme")
    settings = Settings.load()
    own_url = url_of(settings)
    settings, admin = ready(settings)
    token = secrets.token_urlsafe(32)
    with psycopg.connect(admin.reveal(), cursor_factory=psycopg.RawCursor) as connection:
        row = connection.execute("select tenantry.create_tenant($1, $2)", (slug, arguments.name)).fetchone()
        assert row is not None  # a function's answer
        has_people = connection.execute(
            "select exists (select from tenantry.audit_export($1, null, null) l"
            " where l ->> 'action' in ('invite_accepted', 'tenant_created'))",
            (row[0],),
        ).fetchone()
        if has_people is not None and has_people[0]:
            raise TenantRefused(
                why=f'"{slug}" is there already, and has people',
                cure="Let an owner of it invite, or give another --slug.",
            )
        connection.execute(
            "select tenantry.invite_owner($1, $2, $3, $4)",
            (row[0], owner, hashlib.sha256(token.encode()).digest(), SECONDS),
        )
    origin = settings.auth_url or own_url
    from tenantry.auth.configuration import origin_of_url
    from tenantry.auth.invited import link, mail

    url = link(origin_of_url(origin), token)
    is_mailed = arguments.mail and settings.auth_email_server is not None
    if is_mailed and settings.auth_email_server is not None:
        from tenantry.auth.mail import send_now

        send_now(
            settings.auth_email_server,
            settings.auth_email_from,
            mail(origin_of_url(origin), owner, arguments.name, "owner", token, settings.auth_theme_name),
        )
    if arguments.json:
        show({"id": str(row[0]), "slug": slug, "owner": owner, "url": url, "mailed": is_mailed})
    else:
        say(f"{slug} is made. {owner} becomes its owner by this link, once, within seven days:")
        say(f"  {url}")
    return 0

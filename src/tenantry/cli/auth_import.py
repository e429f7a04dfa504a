"""`tenantry auth import`: people, accounts and sessions of an Auth.js database, and nobody has to sign in again.

Knows the tables of @auth/pg-adapter (users, accounts, sessions) and of Prisma ("User", "Account", "Session"). Session tokens
are hashed on the way; a person who is here already (by address) stays, and gets the accounts and sessions.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from typing import Any

from tenantry.cli.place import ready, say, show
from tenantry.errors import StartError
from tenantry.settings import Settings

PG = {
    "people": 'select id::text, email, name, image, "emailVerified" from users',
    "accounts": 'select "userId"::text, provider, "providerAccountId", type from accounts',
    "sessions": 'select "userId"::text, "sessionToken", expires from sessions where expires > now()',
}
PRISMA = {
    "people": 'select id::text, email, name, image, "emailVerified" from "User"',
    "accounts": 'select "userId"::text, provider, "providerAccountId", type from "Account"',
    "sessions": 'select "userId"::text, "sessionToken", expires from "Session" where expires > now()',
}


class ImportRefused(StartError):
    """The other database cannot be read, or is none of Auth.js'."""

    code = "IMPORT_REFUSED"
    says = "Nothing was imported: {why}."
    remedy = "{cure}"


def read(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """All of it, in one snapshot. Raises ImportRefused."""
    import psycopg

    try:
        with psycopg.connect(url, connect_timeout=10) as source:
            source.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            source.read_only = True
            row = source.execute(
                """select to_regclass('"User"') is not null, to_regclass('users') is not null"""
            ).fetchone()
            if row is None or not (row[0] or row[1]):
                raise ImportRefused(
                    why='there is no table users, and none "User"',
                    cure="Name the database that Auth.js' adapter writes to.",
                )
            texts = PRISMA if row[0] else PG
            return {name: source.execute(text.encode()).fetchall() for name, text in texts.items()}
    except psycopg.Error as error:
        raise ImportRefused(
            why=error.diag.message_primary or "no connection", cure="Look at the URL, and its role's rights."
        ) from None


def prepared(found: dict[str, list[tuple[Any, ...]]]) -> list[dict[str, Any]]:
    """One person each, with what is theirs; tokens as hashes. People without a good address are left out."""
    from tenantry.auth.address import address

    people: dict[str, dict[str, Any]] = {}
    for id_, email, name, image, verified in found["people"]:
        to = address(email)
        if to is not None:
            people[id_] = {
                "email": to, "name": name, "image": image, "is_verified": verified is not None, "accounts": [], "sessions": [],
            }  # fmt: skip
    for id_, provider, account, kind in found["accounts"]:
        if id_ in people:
            people[id_]["accounts"].append({"provider": provider, "account": account, "type": kind})
    for id_, token, expires in found["sessions"]:
        if id_ in people and token:
            hashed = hashlib.sha256(str(token).encode()).hexdigest()
            people[id_]["sessions"].append({"hash": hashed, "expires": expires.isoformat()})
    return list(people.values())


def run(arguments: argparse.Namespace) -> int:
    """Read there, write here, in one transaction."""
    import psycopg

    people = prepared(read(arguments.source))
    counts = {
        "people": len(people), "accounts": sum(len(p["accounts"]) for p in people), "sessions": sum(len(p["sessions"]) for p in people),
    }  # fmt: skip
    if not arguments.dry_run:
        _, admin = ready(Settings.load())
        try:
            with psycopg.connect(admin.reveal(), cursor_factory=psycopg.RawCursor) as connection:
                tenant = None
                if arguments.tenant is not None:
                    row = connection.execute(
                        "select id from tenantry.tenants where slug = $1 or id::text = $1", (arguments.tenant,)
                    ).fetchone()
                    if row is None:
                        raise ImportRefused(
                            why=f'there is no tenant "{arguments.tenant}"',
                            cure="Make it first: tenantry tenants create",
                        )
                    tenant = row[0]
                for person in people:
                    connection.execute("select tenantry.import_person($1::jsonb, $2)", (json.dumps(person), tenant))
        except psycopg.Error as error:
            raise ImportRefused(
                why=error.diag.message_primary or "no connection", cure="Nothing was written; try again."
            ) from None
    if arguments.json:
        show({**counts, "written": not arguments.dry_run})
    else:
        verb = "would be taken over" if arguments.dry_run else "taken over"
        say(
            f"{counts['people']} people, {counts['accounts']} accounts, {counts['sessions']} sessions {verb}; nobody has to sign in again."
        )
    return 0

"""As whom `/_dev` calls: the sessions that `tenantry demo` and `tenantry session create` made in this home.

Their tokens stand in TENANTRY_HOME/serve.json, readable by this account only; a page names them by a hash and never shows one. Who each
is, the database says, by the way of requests.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from tenantry.db import Entry, Transaction
from tenantry.errors import TenantryError
from tenantry.files import write_whole
from tenantry.rpc import Record

if TYPE_CHECKING:
    from tenantry.db import Pool

MOST_PEOPLE = 60
NOBODY = "nobody"
DEADLINE_MS = 3000


class Membership(Record):
    """Where a session is, and as what."""

    slug: str
    name: str
    role: str


class Person(Struct, frozen=True):
    """A session to call with. `key` names it on the page."""

    key: str
    email: str
    tenant: str
    role: str
    token: str

    def __repr__(self) -> str:
        return f"Person({self.email} in {self.tenant})"


def kept(home: Path) -> Iterator[tuple[str, str]]:
    """(e-mail, token) of each session that was written down, the demo's first."""
    try:
        found = json.loads((home / "serve.json").read_text("utf-8"))
        yield from dict(found.get("tokens", {})).items()
        for one in list(found.get("sessions", []))[-MOST_PEOPLE:]:
            yield str(one["email"]), str(one["token"])
    except (OSError, ValueError, KeyError, TypeError):
        return


def rotated(home: Path, old: str, new: str) -> None:
    """A call has given a session another token (`tenants.switch`): the list goes on with it."""
    path = home / "serve.json"
    try:
        text = path.read_text("utf-8")
        if json.dumps(old) not in text:
            return
        write_whole(path, text.replace(json.dumps(old), json.dumps(new)).encode())
    except OSError:
        return


async def people(pool: Pool, home: Path) -> list[Person]:
    """Everyone whose session is live, in the order of tenants."""
    asked = list(dict.fromkeys(kept(home)))[:MOST_PEOPLE]
    found = await asyncio.gather(*(_who(pool, email, token) for email, token in asked))
    return sorted((one for one in found if one is not None), key=lambda one: one.tenant)


async def _who(pool: Pool, email: str, token: str) -> Person | None:
    asking = Transaction(pool, Entry(token.encode(), True, None, None, "_dev", DEADLINE_MS))
    try:
        where = await asking.one(
            Membership, "select slug, name, tenantry.role() as role from tenantry.current_tenant()"
        )
        await asking.finish()
    except TenantryError:
        asking.abandon()
        return None
    return Person(hashlib.sha256(token.encode()).hexdigest()[:16], email, where.slug, where.role, token)

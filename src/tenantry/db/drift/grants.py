"""GRANT and REVOKE for what somebody has on a thing. A `*` behind a privilege: it may be passed on. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tenantry.db.drift.catalogue import Thing


def granted(one: Thing, privileges: Iterable[str]) -> list[str]:
    """Plain ones in one statement, those that may be passed on in another."""
    listed = list(privileges)
    what, grantee = one.detail["what"], one.detail["grantee"]
    plain = [p for p in listed if not p.endswith("*")]
    passed = [p[:-1] for p in listed if p.endswith("*")]
    made = [f"grant {_on(plain, what)} to {grantee}"] if plain else []
    return made + ([f"grant {_on(passed, what)} to {grantee} with grant option"] if passed else [])


def revoked(one: Thing, privileges: Iterable[str]) -> list[str]:
    """All of these, whether they may be passed on or not."""
    what, grantee = one.detail["what"], one.detail["grantee"]
    plain = sorted({p.rstrip("*") for p in privileges})
    return [f"revoke {_on(plain, what)} from {grantee}"] if plain else []


def regranted(old: Thing, new: Thing) -> list[str]:
    """From what was granted to what is."""
    before, after = set(old.detail["privileges"]), set(new.detail["privileges"])
    kept = {p.rstrip("*") for p in after}
    what, grantee = new.detail["what"], new.detail["grantee"]
    no_more = [p[:-1] for p in sorted(before - after) if p.endswith("*") and p[:-1] in after]
    made = [f"revoke grant option for {_on(no_more, what)} from {grantee}"] if no_more else []
    made += revoked(new, [p for p in before if p.rstrip("*") not in kept])
    return made + granted(new, sorted(p for p in after - before if p + "*" not in before))


def _on(privileges: Iterable[str], what: str) -> str:
    """`select, insert on table t`; of a column `select (c) on table t`."""
    if not what.startswith("column "):
        return (
            f"{', '.join(privileges)} on {what.replace('domain ', 'type ', 1) if what.startswith('domain ') else what}"
        )
    table, _, column = what.removeprefix("column ").rpartition(".")
    return f"{', '.join(f'{p} ({column})' for p in privileges)} on table {table}"

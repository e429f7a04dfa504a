"""Authentication failures: secrets, providers, sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenantry.auth.housekeeping import REMIND_DAYS
from tenantry.runbook import hands
from tenantry.runbook.model import Cause, Facts, Remedy, Section, Verdict, Verification
from tenantry.runbook.place import Place
from tenantry.runbook.probes.api import HEALTH
from tenantry.runbook.probes.sign_in import DOTENV, NAMES, OIDC, SECRET, SECRET_AGE, SESSIONS, SETTINGS

BATCH = 1000
MOST_BATCHES = 100
MANY = 1000
LONG_SECONDS = 2 * 86_400.0
CLOCK_SECONDS = 60.0
SETTLED_SECONDS = 30.0
DAY_SECONDS = 86_400.0

ROTATE = Remedy(
    "rotate-secret", "A", "tenantry secret rotate && tenantry reload", "none",
    "Puts the new one first and keeps the old one to verify with; edits .env in place. A leaked one: --drop-old (L3).",
    hands.rotate_secret, Verification(DOTENV.name, "AUTH_SECRET once in .env", lambda v: not _doubled_names(v), 10.0),
)  # fmt: skip


async def _purge(place: Place, fields: Mapping[str, Any]) -> str:
    """In batches, so that no sign-in waits."""
    gone = 0
    for _ in range(MOST_BATCHES):
        (row,) = await place.do("ops", "select tenantry.purge_sessions($1) as n", [BATCH])
        gone += row["n"]
        if row["n"] < BATCH:
            break
    return f"{gone} expired sessions deleted"


def _doubled_names(values: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = values.get("doubled") or []
    return [row for row in rows if row["name"] in NAMES]


def _doubled(facts: Facts) -> Verdict | None:
    found = _doubled_names(facts.of(DOTENV.name))
    if not found:
        return None
    first = found[0]
    how = "with different values" if first["differ"] else "with the same value"
    return Verdict(
        "certain",
        (DOTENV.name, SECRET.name),
        {"name": first["name"], "lines": ", ".join(map(str, first["lines"])), "how": how, "last": first["lines"][-1]},
    )


def _doubled_other(facts: Facts) -> Verdict | None:
    found = [row for row in facts.rows(DOTENV.name, "doubled") if row["name"] not in NAMES and row["differ"]]
    if not found:
        return None
    return Verdict(
        "certain",
        (DOTENV.name,),
        {"names": ", ".join(f"{r['name']} (lines {', '.join(map(str, r['lines']))})" for r in found)},
    )


def _missing(facts: Facts) -> Verdict | None:
    found = facts.of(SECRET.name)
    if found.get("is_set") is False and found.get("has_provider") and found.get("is_production"):
        return Verdict("certain", (SECRET.name, SETTINGS.name))
    return None


def _differs(facts: Facts) -> Verdict | None:
    found = facts.of(SECRET.name)
    return Verdict("certain", (SECRET.name, DOTENV.name), {"n": found.get("workers")}) if found.get("differs") else None


def _unloaded(facts: Facts) -> Verdict | None:
    """Workers note the mark of the secret that they sign with, soon after their start: of this one nobody has."""
    health, age = facts.of(HEALTH.name), facts.of(SECRET_AGE.name)
    is_new = "seconds" in age and age["seconds"] is None
    if (
        not is_new
        or (health.get("uptime_seconds") or 0.0) < SETTLED_SECONDS
        or facts.table(HEALTH.name, "checks").get("database") != "up"
    ):
        return None
    return Verdict("likely", (SECRET_AGE.name, HEALTH.name, DOTENV.name))


def _old(facts: Facts) -> Verdict | None:
    seconds = facts.of(SECRET_AGE.name).get("seconds") or 0.0
    days = seconds / DAY_SECONDS
    return Verdict("certain", (SECRET_AGE.name,), {"days": f"{days:.0f}"}) if days > REMIND_DAYS else None


def _previous(facts: Facts) -> Verdict | None:
    found = facts.of(SECRET_AGE.name)
    is_due = found.get("has_previous") and (found.get("seconds") or 0.0) > DAY_SECONDS
    return Verdict("certain", (SECRET_AGE.name,), {"days": f"{found['seconds'] / 86_400:.0f}"}) if is_due else None


def _open(facts: Facts) -> Verdict | None:
    found = facts.of(DOTENV.name)
    return (
        Verdict("certain", (DOTENV.name,), {"mode": found.get("mode")})
        if found.get("is_open") and facts.of(SECRET.name).get("is_production")
        else None
    )


def _down(facts: Facts) -> Verdict | None:
    found = [row for row in facts.rows(OIDC.name, "providers") if not row["up"]]
    if not found:
        return None
    return Verdict("likely", (OIDC.name,), {"which": "; ".join(f"{row['id']}: {row['words']}" for row in found)})


def _client(facts: Facts) -> Verdict | None:
    found = [
        row["id"]
        for row in facts.rows(OIDC.name, "providers")
        if row.get("says") in ("invalid_client", "unauthorized_client")
    ]
    return Verdict("certain", (OIDC.name,), {"which": ", ".join(found)}) if found else None


def _clock(facts: Facts) -> Verdict | None:
    found = [row for row in facts.rows(OIDC.name, "providers") if abs(row.get("skew_seconds") or 0) > CLOCK_SECONDS]
    return (
        Verdict("certain", (OIDC.name,), {"which": found[0]["id"], "seconds": f"{found[0]['skew_seconds']:+.0f}"})
        if found
        else None
    )


def _expired(facts: Facts) -> Verdict | None:
    """The daily cleanup does not run, or does not get done: not merely some that are over."""
    found = facts.of(SESSIONS.name)
    oldest, n = found.get("oldest_expired") or 0.0, found.get("expired") or 0
    if n < MANY and oldest < LONG_SECONDS:
        return None
    return Verdict("certain", (SESSIONS.name,), {"n": n, "days": f"{oldest / 86_400:.1f}"})


SECTION = Section(
    slug="authentication-failures",
    title="Authentication Failures",
    symptoms=(r"no active session", r"please sign in", r"sign.?in fail", r"AUTH_SECRET", r"\bOAuth", r"invalid_client"),
    alerts=(),
    probes=(SETTINGS, DOTENV, SECRET, SECRET_AGE, HEALTH, SESSIONS, OIDC),
    causes=(
        Cause("auth-secret-missing", "AUTH_SECRET is not set, and somebody could sign in.", _missing, ROTATE),
        Cause(
            "auth-secret-differs",
            "AUTH_SECRET is not the same in the {n} running processes and here: what one signs another refuses.",
            _differs,
            Remedy(
                "reload-secret",
                "A",
                "tenantry reload",
                "none",
                "If .env is right; else tenantry secret rotate.",
                hands.reload_api,
                Verification(SECRET.name, "the same everywhere", lambda v: not v.get("differs"), 30.0),
            ),
        ),
        Cause(
            "auth-secret-not-loaded",
            "AUTH_SECRET as it is set here has never signed anything, and the API runs: its processes began before it was changed.",
            _unloaded,
            Remedy(
                "reload-new-secret",
                "A",
                "tenantry reload",
                "none",
                "If .env is right; the old one as AUTH_SECRET_PREVIOUS keeps links and forms valid (tenantry secret rotate does both).",
                hands.reload_api,
                Verification(SECRET_AGE.name, "it is in use", lambda v: v.get("seconds") is not None, 30.0),
            ),
        ),
        Cause(
            "auth-secret-doubled",
            "{name} stands in .env on lines {lines}, {how}; the last one (line {last}) counts.",
            _doubled,
            ROTATE,
        ),
        Cause(
            "auth-secret-old",
            "AUTH_SECRET has signed for {days} days; a quarter is what it may last.",
            _old,
            Remedy(
                "rotate-old-secret",
                "M",
                "tenantry secret rotate && tenantry reload",
                "none",
                "Nobody is signed out; in .env, in place.",
            ),
        ),
        Cause(
            "auth-secret-previous",
            "AUTH_SECRET_PREVIOUS still verifies, {days} days after the rotation: forms and mails from before it are long over.",
            _previous,
            Remedy("drop-old-secret", "M", "tenantry secret rotate --drop-old && tenantry reload", "none"),
        ),
        Cause(
            "setting-doubled",
            "Names stand in .env twice, with different values; the last one counts: {names}.",
            _doubled_other,
            Remedy("remove-double", "M", "grep -n NAME .env   # and remove the lines that do not count", "none"),
        ),
        Cause(
            "dotenv-open",
            "Other accounts can read .env (mode {mode}), and secrets stand in it.",
            _open,
            Remedy("close-dotenv", "M", "chmod 600 .env", "os"),
        ),
        Cause(
            "provider-client-wrong",
            "A sign-in provider does not know our client id and secret (invalid_client): {which}.",
            _client,
            Remedy(
                "correct-client",
                "M",
                "AUTH_…_ID and AUTH_…_SECRET in .env as the provider's console has them; then: tenantry reload",
                "none",
            ),
        ),
        Cause(
            "provider-clock",
            "The clock of {which} is {seconds} s from ours: its tokens are too new or too old.",
            _clock,
            Remedy("set-clock-here", "M", "timedatectl; sudo systemctl restart systemd-timesyncd", "os", who="L2"),
            frozenset({"provider-client-wrong"}),
        ),
        Cause(
            "provider-down",
            "A sign-in provider does not answer: {which}.",
            _down,
            Remedy(
                "wait-for-provider",
                "M",
                "curl -s ISSUER/.well-known/openid-configuration | jq .issuer",
                "none",
                "Wait, and tell users; who is signed in stays so.",
            ),
        ),
        Cause(
            "sessions-not-purged",
            "{n} sessions are over and still there, the oldest for {days} days: the daily cleanup does not get done.",
            _expired,
            Remedy(
                "purge-sessions",
                "S",
                "select tenantry.purge_sessions(1000);",
                "ops",
                "In batches; live ones are never touched.",
                _purge,
                Verification(
                    SESSIONS.name,
                    "none of them is left",
                    lambda v: (v.get("expired") or 0) < MANY and (v.get("oldest_expired") or 0.0) < LONG_SECONDS,
                    15.0,
                ),
            ),
        ),
    ),
    prose=(
        "`cat .env | grep AUTH_` puts secrets on the screen and into the shell's scrollback; `tenantry settings` shows what is set without them. "
        '`echo "AUTH_SECRET=…" >> .env` makes a second line, of which the last counts, and ends every sign-in that is under way; sessions do not depend on the '
        "secret. `tenantry secret rotate` edits in place and keeps the old one to verify with. `curl -I` sends HEAD, which a provider may refuse: the doctor sends GET."
    ),
)

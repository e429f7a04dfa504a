"""Sign-in: secrets in `.env` and in the processes, sessions, providers, clocks. A secret is compared by its hash and never shown."""

from __future__ import annotations

import asyncio
import hashlib
import re
from email.utils import parsedate_to_datetime
from typing import Any

from tenantry.runbook.model import Look, NotApplicable, Probe
from tenantry.runbook.place import Answer, Place
from tenantry.settings.sign_in import SECRETS

_LINE = re.compile(r"(?m)^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(.*)$")
NAMES = ("AUTH_SECRET_3", "AUTH_SECRET_2", "AUTH_SECRET_1", "AUTH_SECRET", "NEXTAUTH_SECRET")


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


async def _settings(place: Place) -> Look:
    """What cannot be used of the settings: the API does not start with it."""
    lines = [f"{name} {why}: {cure}" for name, why, cure in place.faults]
    return Look(
        {"faults": [{"name": n, "why": w, "cure": c} for n, w, c in place.faults]},
        "\n".join(lines) or "all can be used",
    )


async def _dotenv(place: Place) -> Look:
    try:
        text = place.env_file.read_text("utf-8")
        mode = place.env_file.stat().st_mode & 0o777
    except FileNotFoundError:
        why = "there is no .env here"
        raise NotApplicable(why) from None
    except (OSError, UnicodeDecodeError) as error:
        return Look({"doubled": [], "unreadable": type(error).__name__}, f".env cannot be read: {type(error).__name__}")
    found: dict[str, list[tuple[int, str]]] = {}
    for match in _LINE.finditer(text):
        value = match[2].strip().strip("'\"")
        found.setdefault(match[1], []).append((text.count("\n", 0, match.start()) + 1, _mark(value)))
    doubled: list[dict[str, Any]] = [
        {"name": name, "lines": [line for line, _ in lines], "differ": len({mark for _, mark in lines}) > 1}
        for name, lines in found.items()
        if len(lines) > 1
    ]
    is_open = bool(mode & 0o077) and any(name in found for name in (*NAMES, "DATABASE_URL"))
    words = [
        f"{d['name']} on lines {', '.join(map(str, d['lines']))}{' with different values' if d['differ'] else ''}"
        for d in doubled
    ]
    return Look(
        {"doubled": doubled, "mode": f"{mode:o}", "is_open": is_open, "names": sorted(found)},
        "\n".join(words) or f"no name twice; mode {mode:o}",
    )


async def _secret(place: Place) -> Look:
    """AUTH_SECRET as it is set here, and as the running processes got it from their environment."""
    import psutil

    from tenantry.processes import status
    from tenantry.settings.sign_in import has_provider

    settings = place.settings
    signing = next(
        (
            s
            for name in ("auth_secret_3", "auth_secret_2", "auth_secret_1", "auth_secret")
            if (s := getattr(settings, name, None)) is not None
        ),
        None,
    )
    here = None if signing is None else _mark(signing.reveal())
    values: dict[str, Any] = {
        "is_set": signing is not None,
        "has_provider": has_provider({n: getattr(settings, n, None) for n in type(settings).__struct_fields__}),
        "is_production": settings.env == "production",
    }
    told: dict[str, str] = {}
    for worker in (await asyncio.to_thread(status, settings)).get("workers", []):
        try:
            environ = psutil.Process(worker["pid"]).environ()
        except (psutil.Error, OSError):
            continue
        text = next((environ[name] for name in NAMES if environ.get(name)), None)
        if text is not None:
            told[str(worker["pid"])] = _mark(text)
    marks = set(told.values())
    if here is not None and told and settings.sources.get("AUTH_SECRET") == "environment":
        marks.add(here)
    values |= {"differs": len(marks) > 1, "workers": len(told)}
    words = f"{'set' if signing is not None else 'not set'}; {len(told)} processes have it in their environment, {'which differs' if values['differs'] else 'the same'}"
    return Look(values, words)


async def _secret_age(place: Place) -> Look:
    """For how long the secret that signs has done so, as the workers noted it by its mark."""
    from tenantry.auth.seal import mark_of

    settings = place.settings
    signing = next((s for name in SECRETS[:4] if (s := getattr(settings, name, None)) is not None), None)
    if signing is None:
        why = "AUTH_SECRET is not set"
        raise NotApplicable(why)
    (row,) = await place.ask(
        "ops",
        "select extract(epoch from tenantry.secret_age($1))::float8 as seconds",
        [mark_of(signing.reveal().encode())],
    )
    names = [name.upper() for name in SECRETS[:3] if getattr(settings, name, None) is not None]
    values = {"seconds": row["seconds"], "has_previous": getattr(settings, "auth_secret_previous", None) is not None}
    words = "never used here yet" if row["seconds"] is None else f"in use for {row['seconds'] / 86_400:.1f} days"
    return Look(values, f"{names[0] if names else 'AUTH_SECRET'} signs, {words}")


async def _sessions(place: Place) -> Look:
    (row,) = await place.ask(
        "ops",
        "select live, expired, extract(epoch from oldest_expired)::float8 as oldest_expired from tenantry.session_counts()",
    )
    return Look(
        dict(row),
        f"{row['live']} live, {row['expired']} expired, the oldest for {(row['oldest_expired'] or 0) / 3600:.1f} h",
    )


def _providers(place: Place) -> dict[str, tuple[str, str, str]]:
    """Id → issuer, client id, client secret."""
    found: dict[str, tuple[str, str, str]] = {}
    settings = place.settings
    for id_, name in (("google", "auth_google"), ("microsoft-entra-id", "auth_microsoft_entra_id")):
        client, secret = getattr(settings, f"{name}_id"), getattr(settings, f"{name}_secret")
        if client and secret is not None:
            found[id_] = (getattr(settings, f"{name}_issuer"), client, secret.reveal())
    for name, parts in settings.oidc_providers.items():
        found[f"oidc-{name}"] = (parts["issuer"].reveal(), parts["id"].reveal(), parts["secret"].reveal())
    return found


async def _oidc(place: Place) -> Look:
    wanted = _providers(place)
    if not wanted:
        why = "no provider is configured"
        raise NotApplicable(why)
    rows = await asyncio.gather(*(_provider(place, id_, *parts) for id_, parts in wanted.items()))
    return Look({"providers": list(rows)}, "\n".join(f"{row['id']}: {row['words']}" for row in rows))


async def _provider(place: Place, id_: str, issuer: str, client: str, secret: str) -> dict[str, Any]:
    """Its description, its clock, and what it says to our credentials with a code that cannot be good."""
    try:
        answer = await place.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration", seconds=1.4)
    except (OSError, TimeoutError) as error:
        return {
            "id": id_,
            "up": False,
            "words": "no answer" if isinstance(error, TimeoutError) else type(error).__name__,
        }
    endpoint = str(answer.json().get("token_endpoint") or "")
    if answer.status != 200 or not endpoint:
        return {"id": id_, "up": False, "words": f"HTTP {answer.status}"}
    row: dict[str, Any] = {"id": id_, "up": True, "skew_seconds": _skew(answer), "words": "up"}
    form = {
        "grant_type": "authorization_code",
        "code": "tenantry-doctor",
        "redirect_uri": "https://doctor.invalid/",
        "client_id": client,
        "client_secret": secret,
    }
    try:
        told = (await place.post(endpoint, form, seconds=1.2)).json().get("error")
    except (OSError, TimeoutError):
        told = None
    return {**row, "says": told, "words": f"up; to a bad code it says {told}"}


def _skew(answer: Answer) -> float | None:
    """How far its clock is from ours, by the Date header; None without one."""
    import time

    stamp = next((value for name, value in answer.headers.items() if name.lower() == "date"), None)
    try:
        return None if stamp is None else round(parsedate_to_datetime(stamp).timestamp() - time.time(), 1)
    except ValueError:
        return None


SETTINGS = Probe("settings", "tenantry settings", _settings)
DOTENV = Probe("dotenv", "cat .env | grep AUTH_", _dotenv)
SECRET = Probe("auth-secret", "tenantry settings | grep AUTH_SECRET", _secret)
SECRET_AGE = Probe("secret-age", "select tenantry.secret_age('<mark>');", _secret_age)
SESSIONS = Probe("sessions", "SELECT COUNT(*) FROM auth_sessions WHERE expires > NOW();", _sessions)
OIDC = Probe("providers", "curl https://accounts.google.com/.well-known/openid-configuration", _oidc)

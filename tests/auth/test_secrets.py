"""AUTH_SECRET: rotation in place, that nobody notices it, and what the settings refuse."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tenantry.cli.auth_secret import rotated_text
from tenantry.cli.main import main
from tenantry.errors import SettingsFaulty
from tenantry.settings import Secret, Settings
from tenantry.settings.dotenv import parse
from tests.auth.browser import SECRET, Browser, mails, signing_in
from tests.conftest import Database

OLD, NEW = "o" * 40, "n" * 40


def values(text: str) -> dict[str, str]:
    return {name: line.value for name, line in parse(text)[0].items()}


@pytest.mark.parametrize(
    "text",
    [
        f"A=1\nAUTH_SECRET={OLD}\n# mine\nB=2\n",
        f"A=1\nAUTH_SECRET=first{OLD}\n# mine\nB=2\nAUTH_SECRET={OLD}\n",
        f"A=1\n# mine\nB=2\nexport AUTH_SECRET='{OLD}'",
        f"A=1\n# mine\nB=2\nAUTH_SECRET={OLD}\nAUTH_SECRET_PREVIOUS=older\n",
    ],
)
def test_the_file_keeps_all_else_and_one_line_of_each(text: str) -> None:
    changed, had_one = rotated_text(text, NEW, date(2026, 3, 4))
    assert had_one
    assert values(changed) == {"A": "1", "B": "2", "AUTH_SECRET": NEW, "AUTH_SECRET_PREVIOUS": OLD}
    assert "# mine" in changed
    assert "# AUTH_SECRET rotated on 2026-03-04" in changed
    assert changed.count("AUTH_SECRET=") == 1
    dropped, _ = rotated_text(changed, None, date(2026, 3, 5))
    assert values(dropped) == {"A": "1", "B": "2", "AUTH_SECRET": NEW}


def test_the_command_edits_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    env = tmp_path / ".env"
    env.write_text(f"AUTH_SECRET={OLD}\n")
    env.chmod(0o644)
    assert main(["secret", "rotate"]) == 0
    assert env.stat().st_mode & 0o777 == 0o600
    found = values(env.read_text())
    assert found["AUTH_SECRET_PREVIOUS"] == OLD
    assert len(found["AUTH_SECRET"]) >= 43
    assert found["AUTH_SECRET"] not in capsys.readouterr().out
    assert [p.name for p in tmp_path.iterdir()] == [".env"]
    monkeypatch.setenv("AUTH_SECRET", OLD)
    assert main(["secret", "rotate"]) == 1


async def test_a_rotation_signs_nobody_out_and_breaks_no_form_and_no_mail(database: Database, tmp_path: Path) -> None:
    async with signing_in(database, tmp_path) as app:
        ann = Browser(app)
        await ann.sign_in_by_mail("ann@acme.example", tmp_path)
        form = await ann.csrf()
        bob = Browser(app)
        await bob.post("/api/auth/signin/email", {"csrfToken": await bob.csrf(), "email": "bob@acme.example"})
    rotated = {"auth_secret": Secret(NEW), "auth_secret_previous": Secret(SECRET)}
    async with signing_in(database, tmp_path, **rotated) as app:
        ann.app = bob.app = app
        assert (await ann.session())["user"]["email"] == "ann@acme.example"
        was = ann.jar["authjs.csrf-token"]
        assert await ann.csrf() == form
        assert ann.jar["authjs.csrf-token"] != was  # signed anew
        page = await bob.fetch(mails(tmp_path, "bob@acme.example")[0]["url"])
        assert (await bob.submit(page)).error is None
        assert (await bob.session())["user"]["email"] == "bob@acme.example"


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"AUTH_SECRET": "short"}, "AUTH_SECRET"),
        ({"AUTH_URL": "https://app.example/other"}, "AUTH_URL"),
        ({"AUTH_URL": "https://user@app.example"}, "AUTH_URL"),
        ({"AUTH_TRUST_HOST": "perhaps"}, "AUTH_TRUST_HOST"),
        ({"AUTH_REDIRECT_ORIGINS": "https://*.example"}, "AUTH_REDIRECT_ORIGINS"),
        ({"AUTH_REDIRECT_ORIGINS": "https://app.example/path"}, "AUTH_REDIRECT_ORIGINS"),
        ({"AUTH_GOOGLE_ID": "x"}, "AUTH_GOOGLE_SECRET"),
        ({"AUTH_GOOGLE_ISSUER": "http://accounts.example"}, "AUTH_GOOGLE_ISSUER"),
        ({"AUTH_OIDC_OKTA_ID": "x"}, "AUTH_OIDC_OKTA_ISSUER"),
        ({"AUTH_EMAIL_SERVER": "smtp://mail.example"}, "AUTH_EMAIL_FROM"),
        ({"AUTH_EMAIL_SERVER": "carrier-pigeon"}, "AUTH_EMAIL_SERVER"),
        ({"AUTH_THEME_COLOR": "red;}body{background:url(//evil)"}, "AUTH_THEME_COLOR"),
        ({"TENANTRY_TRUSTED_PROXIES": "everybody"}, "TENANTRY_TRUSTED_PROXIES"),
        (
            {"TENANTRY_ENV": "production", "AUTH_GOOGLE_ID": "x", "AUTH_GOOGLE_SECRET": "y", "AUTH_SECRET": OLD},
            "AUTH_URL",
        ),
        (
            {
                "TENANTRY_ENV": "production",
                "AUTH_URL": "https://a.example",
                "AUTH_GOOGLE_ID": "x",
                "AUTH_GOOGLE_SECRET": "y",
            },
            "AUTH_SECRET",
        ),
        ({"TENANTRY_ENV": "production", "AUTH_RATE_LIMITS": "off"}, "AUTH_RATE_LIMITS"),
        ({"TENANTRY_ENV": "production", "AUTH_EMAIL_SERVER": "dir:/tmp/x"}, "AUTH_EMAIL_SERVER"),
        ({"TENANTRY_ENV": "production", "AUTH_URL": "http://app.example"}, "AUTH_URL"),
    ],
)
def test_settings_that_would_not_be_safe_are_named(environment: dict[str, str], name: str) -> None:
    with pytest.raises(SettingsFaulty) as fault:
        Settings.load(environment, dotenv=None)
    assert name in [one[0] for one in fault.value.fields["faults"]]
    assert "short" not in str(fault.value).replace("shorter", "")


def test_auth_js_older_names_are_read() -> None:
    settings = Settings.load({"NEXTAUTH_SECRET": OLD, "NEXTAUTH_URL": "https://app.example/api/auth"}, dotenv=None)
    assert settings.auth_secret is not None
    assert settings.auth_secret.reveal() == OLD
    assert settings.auth_url == "https://app.example/api/auth"


async def test_a_rotation_stands_in_the_trail_once_and_its_age_is_known(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def upkeep(app: object):
        return app._state.dispatcher.road.auth.upkeep  # pyright: ignore[reportAttributeAccessIssue]

    rotations = "select count(*) from audit_log where action = 'secret_rotated'"
    async with signing_in(database, tmp_path) as app:
        assert await upkeep(app).note_secret() == 0
        assert database.value(rotations) == 0  # the first one is no rotation
    rotated = {"auth_secret": Secret(NEW), "auth_secret_previous": Secret(SECRET)}
    async with signing_in(database, tmp_path, **rotated) as app, signing_in(database, tmp_path, **rotated) as other:
        for _ in range(2):
            await upkeep(app).note_secret()
            await upkeep(other).note_secret()
        assert database.value(rotations) == 1
        database.admin.execute("update tenantry.auth_secrets set since = since - interval '91 days'")
        assert await upkeep(app).note_secret() == 91
    assert "tenantry secret rotate" in caplog.text
    dump = str(database.admin.execute("select * from tenantry.auth_secrets").fetchall())
    assert NEW not in dump and SECRET not in dump


async def test_the_doctor_reminds_of_the_quarter_and_of_the_old_one(database: Database, tmp_path: Path) -> None:
    import asyncio

    from tenantry.auth.seal import mark_of
    from tests.runbook.test_faults import looked, place_of

    over = {"auth_secret": Secret(NEW), "auth_secret_previous": Secret(SECRET), "home": tmp_path}

    def found(age: str | None) -> set[str]:
        if age is not None:
            database.admin.execute("delete from tenantry.auth_secrets")
            database.admin.execute(
                f"insert into tenantry.auth_secrets values ('{mark_of(NEW.encode())}', now() - interval '{age}')"
            )
        return {f.cause for f in looked(place_of(database, **over), "authentication-failures").findings}

    ours = {"auth-secret-old", "auth-secret-previous"}
    assert await asyncio.to_thread(found, None) & ours == set()
    assert await asyncio.to_thread(found, "1 hour") & ours == set()
    assert await asyncio.to_thread(found, "2 days") & ours == {"auth-secret-previous"}
    assert await asyncio.to_thread(found, "91 days") & ours == ours

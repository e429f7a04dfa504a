"""Settings: all faults at once, each with its remedy; secrets never shown; URLs of the other roles derived."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tenantry.errors import SettingsFaulty
from tenantry.settings import DatabaseUrl, Secret, Settings, compose

URL = "postgresql://platform:p%40ss%2Fword@db.example:6432/platform?sslmode=require"


class Desk(Settings):
    """An application's own settings."""

    tracker_token: Secret
    """Token of the
    issue tracker."""
    bucket: str = "files"
    limits: list[int] | None = None


def load(**environ: str) -> Settings:
    """Settings of this environment, and no `.env`."""
    return Settings.load(environ, None)


def test_every_setting_has_a_name_a_default_and_a_line_of_docs() -> None:
    rows = Settings.describe()
    assert len({r.name for r in rows}) == len(rows) > 25
    for row in rows:
        assert row.says.endswith("."), row.name
        assert "\n" not in row.says
        assert row.kind != "integer" or row.unit, row.name


def test_nothing_given_is_development_with_the_embedded_server() -> None:
    settings = load()
    assert (settings.env, settings.database_url, settings.port, settings.workers) == ("development", None, 3001, 1)
    assert settings.home == Path.cwd() / ".tenantry"


def test_database_url_makes_it_production_unless_told() -> None:
    assert load(DATABASE_URL=URL).env == "production"
    assert load(DATABASE_URL=URL, TENANTRY_ENV="development").env == "development"


def test_all_faults_come_at_once_with_their_remedies() -> None:
    with pytest.raises(SettingsFaulty) as caught:
        load(
            PORT="http",
            TENANTRY_WORKERS="0",
            TENANTRY_LOG="yaml",
            DATABASE_URL="mysql://a:hush@b/c",
            TENANTRY_BASE_PATH="x",
        )
    faults = caught.value.fields["faults"]
    assert {name for name, _, _ in faults} == {
        "PORT",
        "TENANTRY_WORKERS",
        "TENANTRY_LOG",
        "DATABASE_URL",
        "TENANTRY_BASE_PATH",
    }
    assert all(cure for _, _, cure in faults)
    assert "from 1 to 256" in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://host/db",
        "postgresql://u:hush@host",
        "host=a password=hush",
        "postgresql://u@h/d?password=hush",
        "http://u:hush@h/d",
    ],
)
def test_faulty_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(SettingsFaulty) as caught:
        load(DATABASE_URL=url)
    assert "hush" not in str(caught.value) + repr(caught.value) + repr(caught.value.fields)


def test_password_is_never_printed() -> None:
    settings = load(DATABASE_URL=URL)
    printed = f"{settings} {settings!r} {settings.database_url} {settings.urls()} {settings.shown()}"
    assert "p%40ss" not in printed
    assert "p@ss/word" not in printed
    assert "•••" in printed


def test_other_roles_are_derived_from_database_url() -> None:
    urls = load(DATABASE_URL=URL, DATABASE_DIRECT_URL=URL.replace("6432", "5432")).urls()
    assert urls.auth.reveal() == URL.replace("//platform", "//tenantry_auth")
    assert urls.ops.reveal() == URL.replace("//platform", "//tenantry_ops").replace("6432", "5432")
    assert urls.admin.reveal() == URL.replace("//platform", "//tenantry_migrate").replace("6432", "5432")
    assert urls.admin.password == "p@ss/word"


def test_given_url_is_not_derived() -> None:
    urls = load(DATABASE_URL=URL, DATABASE_ADMIN_URL="postgresql://postgres@other/platform").urls()
    assert str(urls.admin) == "postgresql://postgres@other/platform"


def test_sign_in_must_not_use_the_role_of_requests() -> None:
    with pytest.raises(SettingsFaulty, match="DATABASE_AUTH_URL"):
        load(DATABASE_URL=URL, DATABASE_AUTH_URL=URL)


def test_other_urls_without_database_url_are_refused() -> None:
    with pytest.raises(SettingsFaulty, match="DATABASE_ADMIN_URL is set, and DATABASE_URL is not"):
        load(DATABASE_ADMIN_URL=URL)


def test_unknown_name_is_a_warning_with_the_nearest_name() -> None:
    warnings = load(TENANTRY_POOLSIZE="3", TENANTRY_XYZ="1", DATABASE_URLL=URL, OTHER="1").warnings
    assert len(warnings) == 3
    assert any("TENANTRY_POOLSIZE" in w and "Did you mean TENANTRY_POOL_SIZE?" in w for w in warnings)
    assert "p%40ss" not in " ".join(warnings)


def test_environment_wins_over_dotenv_and_sources_are_known(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text('PORT=1\nTENANTRY_POOL_SIZE=7\nPORT="4000"\nTENANTRY_WORKERS=2\n')
    settings = Settings.load({"TENANTRY_WORKERS": "3"}, file)
    assert (settings.port, settings.pool_size, settings.workers) == (4000, 7, 3)
    sources = {row.name: row.source for row in settings.shown()}
    assert sources["PORT"] == f"{file}:3"
    assert (sources["TENANTRY_WORKERS"], sources["HOST"]) == ("environment", "default")
    assert settings.is_given("PORT")
    assert not settings.is_given("HOST")


def test_faulty_dotenv_line_is_reported_with_its_number(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"PORT=4000\nnot a line\n")
    with pytest.raises(SettingsFaulty, match=r"\.env:2 is not NAME=value"):
        Settings.load({}, file)
    file.write_bytes(b"PORT=4000\nX=\xff\n")
    with pytest.raises(SettingsFaulty, match=r"\.env:2 is not UTF-8"):
        Settings.load({}, file)


def test_missing_dotenv_and_empty_values_are_defaults(tmp_path: Path) -> None:
    settings = Settings.load({"PORT": "", "DATABASE_URL": "  "}, tmp_path / "none")
    assert (settings.port, settings.database_url) == (3001, None)


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        setattr(load(), "port", 1)  # noqa: B010 - a plain assignment would be a type error


def test_applications_own_settings_are_read_with_the_rest() -> None:
    desk = Desk.load({"TRACKER_TOKEN": "hush", "PORT": "4000"}, None)
    assert (desk.tracker_token.reveal(), desk.bucket, desk.port) == ("hush", "files", 4000)
    assert "hush" not in repr(desk)
    row = next(r for r in Desk.describe() if r.attribute == "tracker_token")
    assert (row.name, row.kind, row.default, row.says) == (
        "TRACKER_TOKEN",
        "secret",
        "required",
        "Token of the issue tracker.",
    )
    with pytest.raises(SettingsFaulty, match="TRACKER_TOKEN is not set"):
        Desk.load({}, None)


def test_embedded_urls_fill_what_is_not_given() -> None:
    urls = load(DATABASE_URL=URL).urls()
    assert load().with_urls(urls).urls() == urls


def test_secret_compares_by_its_text_and_is_never_shown() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert f"{Secret('hush')!r}{Secret('hush')}" == "••••••"
    with pytest.raises(TypeError):
        msgspec.json.encode(Secret("hush"))


def test_url_is_taken_apart_and_put_together() -> None:
    url = compose("a b", "p:@/?#", "", "d/b", "host=/tmp/x")
    assert DatabaseUrl(url.reveal()) == url
    assert (url.user, url.password, url.place, url.database, url.query) == ("a b", "p:@/?#", "", "d/b", "host=/tmp/x")

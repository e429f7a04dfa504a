"""Mistakes that keep new code from starting: told in the terminal and in the browser, gone when mended. Real processes."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Cluster, Database
from tests.dev.browser import text_of
from tests.processes.fixtures import database, with_notes  # noqa: F401 - fixtures
from tests.processes.place import APP, Place, placed

BROKEN = "\ndef broken(:\n"
ROLE = '\n@test.query(role="editor")\nasync def edit(ctx: Ctx) -> None: ...\n'
CLASH = '\n@test.query(public=True)\nasync def ping(ctx: Visitor) -> str:\n    return "again"\n'
RAISES = "\nlimits = {}\nmost = limits['most']\n"
TAGS = "create table tags (id uuid primary key default gen_random_uuid(), name text not null);\n"


@pytest.fixture
def place(database: Database) -> Iterator[Place]:  # noqa: F811 - the fixture
    with placed(database, TENANTRY_ENV="development", DATABASE_ADMIN_URL=database.superuser.reveal()) as made:
        (made.folder / "migrations" / "0001_notes.sql").write_text(NOTES_HERE)
        yield made


NOTES_HERE = "select 1;\n"


def page(place: Place, path: str = "/_dev") -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{place.port}{path}", timeout=10) as answer:
            return answer.status, text_of(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.code, text_of(error.read().decode())
    except OSError:
        return 0, ""


def banner(place: Place) -> str:
    return json.loads(page(place, "/_dev/state")[1] or '{"stale": ""}')["stale"]


def help_of(place: Place) -> Any:
    return place.get("no.such")["error"]["data"].get("reload")


def said_everywhere(place: Place, *words: str) -> None:
    """In the terminal, on the page, in the answer to a failed call."""
    place.until(lambda: all(word in banner(place) for word in words))
    shown, log, answered = page(place)[1], place.log.read_text(), help_of(place)
    for word in words:
        assert word in shown
        assert word in log
        assert word in answered
        assert word in place.get("no.such")["error"]["data"]["help"]


def test_each_is_told_in_terminal_and_browser_while_the_old_code_serves_and_goes_when_mended(place: Place) -> None:
    served = place.folder / "served.py"
    place.serve("--reload")
    assert banner(place) == ""
    line = APP.count("\n") + 2
    for more, words in (
        (BROKEN, ("APP_BROKEN", f"served.py:{line}: SyntaxError: ", "def broken(:")),
        (RAISES, ("APP_BROKEN", f"served.py:{line + 1}: KeyError: 'most'", "most = limits['most']")),
        (
            ROLE,
            (
                'UNKNOWN_ROLE test.edit asks for role "editor"; there are owner, admin, member.',
                f"served.py:{line}",
                "For finer rights: app.permission(",
            ),
        ),
        (CLASH, ("NAME_CLASH test.ping is defined at ", f"served.py:{line}.", "Rename one, or give it name=")),
    ):
        served.write_text(APP + more)
        said_everywhere(place, *words)
        assert place.get("test.ping") == {"result": {"data": "pong"}}
        served.write_text(APP)
        place.until(lambda: banner(place) == "")
        place.until(lambda: help_of(place) is None)


def test_a_migration_that_is_being_written_is_not_applied_but_told(place: Place) -> None:
    place.serve("--reload")
    made = place.command("db", "new", "add_tags")
    assert made.returncode == 0, made.stderr
    tags = place.folder / "migrations" / "0002_add_tags.sql"
    tags.write_text(tags.read_text() + TAGS)
    place.until(
        lambda: "0002_add_tags.sql is not applied yet. When it is written: tenantry db push" in place.log.read_text()
    )
    place.until(lambda: place.status().get("state") == "ready")
    assert banner(place) == ""
    tags.write_text(tags.read_text() + "select tenantry.protect('tags');\n")
    pushed = place.command("db", "push")
    assert "applied 0002_add_tags.sql" in pushed.stderr


def test_a_migration_without_protection_is_told_in_terminal_and_browser(place: Place) -> None:
    place.serve("--reload", "--push")
    place.command("db", "new", "nothing_yet")
    tags = place.folder / "migrations" / "0007_tags.sql"
    tags.write_text(TAGS)
    said_everywhere(
        place, 'TABLE_NOT_PROTECTED 0007_tags.sql:1 makes table "tags", and no policy guards it: every tenant could read every row.',
        "Add: select tenantry.protect('tags');",
    )  # fmt: skip
    assert place.get("test.ping") == {"result": {"data": "pong"}}
    tags.write_text(TAGS + "select tenantry.protect('tags');\n")
    place.until(lambda: banner(place) == "")


def test_a_session_made_by_hand_is_in_the_list_and_in_production_is_written_nowhere(place: Place) -> None:
    made = place.command("demo", "--json")
    assert made.returncode == 0, made.stderr
    arguments = ("session", "create", "--tenant", "acme", "--email", "amy@acme.example")
    token = place.command(*arguments).stdout.strip()
    kept = place.folder / "home" / "serve.json"
    assert {"email": "amy@acme.example", "token": token} in json.loads(kept.read_text())["sessions"]
    assert kept.stat().st_mode & 0o077 == 0
    secret = place.command(*arguments, TENANTRY_ENV="production").stdout.strip()
    assert secret
    assert secret not in kept.read_text()


def test_a_first_start_that_fails_waits_to_be_mended_and_says_why(place: Place) -> None:
    served = place.folder / "served.py"
    served.write_text(APP + BROKEN)
    place.serve("--reload", is_waiting=False)
    place.until(lambda: "SyntaxError" in banner(place))
    status, shown = page(place)
    assert status == 503
    assert "The application does not start" in shown
    assert "SyntaxError" in shown
    assert "SyntaxError" in place.get("test.ping")["error"]["data"]["help"]
    assert place.get("test.ping")["error"]["data"]["code"] == "SERVICE_UNAVAILABLE"
    served.write_text(APP + ROLE)
    place.until(lambda: "UNKNOWN_ROLE" in banner(place))
    served.write_text(APP)
    place.until(lambda: place.status().get("state") == "ready")
    place.until(lambda: banner(place) == "")
    assert place.get("test.ping") == {"result": {"data": "pong"}}


def test_a_superuser_s_url_is_told_in_terminal_and_browser(database: Database) -> None:  # noqa: F811 - the fixture
    with placed(database, TENANTRY_ENV="development", DATABASE_ADMIN_URL=database.superuser.reveal()) as place:
        dotenv = place.folder / ".env"
        good = place.environment.pop("DATABASE_URL")
        dotenv.write_text(f"DATABASE_URL={good}\n")
        place.serve("--reload")
        dotenv.write_text(f"DATABASE_URL={database.superuser.reveal()}\n")
        said_everywhere(
            place,
            "ROLE_TOO_STRONG DATABASE_URL signs in as ",
            "a superuser, whom no policy binds. Not serving.",
            "Use platform: tenantry db url",
        )
        dotenv.write_text(f"DATABASE_URL={good}\n")
        place.until(lambda: banner(place) == "")


def test_in_production_a_client_hears_nothing_of_it(database: Database) -> None:  # noqa: F811 - the fixture
    with placed(database) as place:
        place.serve("--reload")
        (place.folder / "served.py").write_text(APP + BROKEN)
        place.until(lambda: "reload stopped, the old workers go on" in place.log.read_text())
        assert "SyntaxError" in place.log.read_text()
        assert set(place.get("no.such")["error"]["data"]) <= {"code", "httpStatus", "path", "requestId"}
        status, said = page(place)
        assert status == 404
        assert "SyntaxError" not in said


def test_in_production_a_first_start_that_fails_waits_and_says_nothing(database: Database, cluster: Cluster) -> None:  # noqa: F811
    del cluster
    with placed(database) as place:
        served = place.folder / "served.py"
        served.write_text(APP + BROKEN)
        place.serve("--reload", is_waiting=False)
        place.until(lambda: page(place, "/trpc/test.ping")[0] == 503)
        assert "SyntaxError" not in page(place, "/trpc/test.ping")[1]
        assert "SyntaxError" not in page(place)[1]
        served.write_text(APP)
        place.until(lambda: place.status().get("state") == "ready")

"""The commands as a user types them, over an embedded server of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import free_port

NOTES = Path(__file__).parents[2] / "examples" / "notes"


class Place:
    """A TENANTRY_HOME in a folder with a space, and ports of its own."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tenantry cli "))
        self.folder.chmod(0o755)
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("TENANTRY_", "DATABASE_", "PG", "PORT", "HOST"))
        }
        self.environment = {
            **kept, "TENANTRY_HOME": str(self.folder / "home"), "TENANTRY_POSTGRES_PORT": str(free_port()), "PORT": str(free_port()),
        }  # fmt: skip

    def command(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tenantry.cli.main", *arguments],
            cwd=NOTES, env={**self.environment, **more}, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def json(self, *arguments: str) -> Any:
        done = self.command(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def psql(self, *arguments: str) -> str:
        env = {**self.environment, **self.json("env")}
        done = subprocess.run(
            ["psql", "-XAtw", *arguments], env=env, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    made = Place()
    made.command("db", "push", "notes:app")
    yield made
    status = json.loads(made.command("db", "status", "--json").stdout)
    made.command("db", "stop")
    shutil.rmtree(Path(status["server"]["data"]).parent, ignore_errors=True)
    shutil.rmtree(made.folder, ignore_errors=True)


def get(url: str, token: str | None = None) -> Any:
    request = urllib.request.Request(url, headers={} if token is None else {"authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def test_a_served_application_shows_each_demo_tenant_only_its_own(place: Place) -> None:
    demo = place.json("demo")
    assert demo.keys() == {"url", "database_url", "admin_url", "tenants"}
    server = subprocess.Popen(
        [sys.executable, "-m", "tenantry.cli.main", "serve", "notes:app", "--demo"], cwd=NOTES, env=place.environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        for _ in range(200):
            try:
                assert get(demo["url"] + "/trpc/health.check")["checks"]["database"]["status"] != "down"
                break
            except OSError:
                time.sleep(0.05)
        seen = {}
        for tenant in demo["tenants"]:
            token = tenant["sessions"][0]["token"]
            people = get(demo["url"] + "/trpc/users.list", token)["result"]["data"]["items"]
            assert {p["email"] for p in people} == {s["email"] for s in tenant["sessions"]}
            seen[tenant["slug"]] = {
                n["body"] for n in get(demo["url"] + "/trpc/notes.recent", token)["result"]["data"]["items"]
            }
        assert all(body.startswith("Acme") for body in seen["acme"])
        assert all(body.startswith("Globex") for body in seen["globex"])
    finally:
        server.send_signal(signal.SIGTERM)
        out, err = server.communicate(timeout=30)
    assert server.returncode == 0, err
    assert "curl -s" in out
    assert "psql -U platform" in out
    assert place.json("demo")["tenants"] == demo["tenants"]


def test_psql_needs_no_prompt_and_platform_sees_nothing_outside_a_tenant(place: Place) -> None:
    place.json("demo")
    assert place.psql("-U", "platform", "-d", "platform", "-c", "select count(*) from users") == "0\n"
    assert place.psql("-U", "postgres", "-d", "platform", "-c", "select count(*) from users") == "6\n"


def test_the_runbooks_two_commands_on_sessions_work_and_nothing_else_there(place: Place) -> None:
    place.json("demo")
    as_platform = ("-U", "platform", "-d", "platform", "-c")
    assert place.psql(*as_platform, "SELECT COUNT(*) FROM auth_sessions WHERE expires > NOW()") == "6\n"
    assert place.psql(*as_platform, "DELETE FROM auth_sessions WHERE expires < NOW()") == "DELETE 0\n"
    for refused in (
        "select token_hash from auth_sessions",
        "update auth_sessions set expires = now()",
        "select * from auth_identities",
    ):
        assert "permission denied" in place.psql(*as_platform, refused)
    assert place.psql(*as_platform, "DELETE FROM auth_sessions") in ("DELETE 0\n",)


def test_a_push_puts_back_what_was_broken(place: Place) -> None:
    place.psql(
        "-U",
        "postgres",
        "-d",
        "platform",
        "-c",
        "drop function get_current_tenant_id() cascade",
        "-c",
        "alter table notes disable row level security",
    )
    assert place.command("db", "status").returncode == 1
    assert place.command("db", "push", "--no-repair").returncode == 1
    repaired = place.json("db", "push")["repaired"]
    assert any("get_current_tenant_id" in line for line in repaired)
    assert any("notes" in line for line in repaired)
    assert place.command("db", "status").returncode == 0


def test_a_session_by_hand_is_a_session(place: Place) -> None:
    place.json("demo")
    made = place.json("session", "create", "--tenant", "acme", "--email", "ann@acme.example")
    assert len(made["token"]) > 40
    nobody = place.command("session", "create", "--tenant", "acme", "--email", "gus@globex.example")
    assert nobody.returncode == 1
    assert "Traceback" not in nobody.stderr


def test_a_slow_statement_is_logged_without_its_values(place: Place) -> None:
    import psycopg

    secret = "planted-secret-token-0123456789abcdef"
    url = place.json("db", "url")["platform"]
    with psycopg.connect(url, autocommit=True) as connection, pytest.raises(psycopg.Error):
        connection.execute("select tenantry.enter(%s::bytea), pg_sleep(1.2)", (secret.encode(),))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select pg_sleep(1.2), %s::text", (secret,))
    log = json.loads(place.command("db", "status", "--json").stdout)["server"]["log"]
    text = "".join(
        p.read_text("utf-8", "replace") for p in ([Path(log)] if Path(log).is_file() else Path(log).glob("*"))
    )
    assert "pg_sleep" in text
    assert secret not in text
    assert secret.encode().hex() not in text


@pytest.mark.parametrize(
    ("arguments", "more", "code", "words"),
    [
        (["serve", "nothing:app"], {}, 1, "APP_NOT_FOUND"),
        (["serve"], {}, 1, "TENANTRY_APP"),
        (["serve", "notes:app", "--port", "99999"], {}, 2, "--port"),
        (["serve", "notes:app"], {"TENANTRY_POOL_SIZE": "0", "TENANTRY_WORKERS": "x"}, 2, "TENANTRY_WORKERS"),
        (["serve", "notes:app"], {"DATABASE_URL": "postgresql://platform@127.0.0.1:1/x"}, 1, "DATABASE_NOT_READY"),
        (["serve", "notes:app"], {"TENANTRY_WORKERS": "200"}, 2, "max_connections"),
        (["db", "start"], {"DATABASE_URL": "postgresql://platform@127.0.0.1:1/x"}, 1, "not ours"),
        (["frobnicate"], {}, 2, "frobnicate"),
    ],
)  # fmt: skip
def test_a_foreseen_fault_is_words_and_a_code(
    place: Place, arguments: list[str], more: dict[str, str], code: int, words: str
) -> None:
    done = place.command(*arguments, **more)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert words in done.stderr


def test_serving_as_superuser_is_refused(place: Place) -> None:
    url = place.json("db", "url")
    done = place.command("serve", "notes:app", DATABASE_URL=url["postgres"], DATABASE_ADMIN_URL=url["postgres"])
    assert done.returncode == 1
    assert "ROLE_TOO_STRONG" in done.stderr
    assert "tenantry db url" in done.stderr


def test_a_port_in_use_is_said_with_its_cure(place: Place) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = place.command("serve", "notes:app", "--port", str(taken.getsockname()[1]))
    assert (done.returncode, "PORT_IN_USE" in done.stderr) == (1, True), done.stderr

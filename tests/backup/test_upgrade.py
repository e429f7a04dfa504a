"""The embedded server's next major: 15 becomes 18 with every row, role and password; what fails leaves the old data as they were."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tenantry.db.embedded import Embedded
from tenantry.db.embedded import upgrade as upgrading
from tenantry.db.embedded.upgrade import remove_old, upgrade
from tenantry.db.migrate import Migration, push
from tenantry.errors import DatabaseNotReady
from tenantry.tenancy import REPAIRS, builtin_migrations, harden, holes
from tests.conftest import DEBIAN_15, free_port

OURS = [Migration(name, text, "built-in") for name, text in builtin_migrations()]
NOTES = Migration(
    "notes.sql",
    "create table notes (id uuid primary key default gen_random_uuid(), body text); select tenantry.protect('notes');",
)


@pytest.fixture
def home() -> Iterator[Path]:
    if not (DEBIAN_15 / "initdb").exists():
        pytest.skip("Debian's PostgreSQL 15 is not here")
    folder = Path(tempfile.mkdtemp(prefix="tenantry-upgrade-"))
    folder.chmod(0o755)
    yield folder / "home"
    server = Embedded(folder / "home")
    place = server.status().data.parent
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(place, ignore_errors=True)


def test_15_becomes_18_with_every_row_and_a_failure_changes_nothing(home: Path, monkeypatch: pytest.MonkeyPatch):
    old = Embedded(home, free_port(), programs_in=DEBIAN_15)
    urls = old.ensure()
    push(old.superuser_url("socket"), [*OURS, NOTES], urls=urls, repairs=REPAIRS, look=holes)
    token = b"a-token-of-before-the-upgrade-0123456789"
    with psycopg.connect(old.superuser_url("socket").reveal(), autocommit=True) as there:
        (tenant,) = there.execute("select tenantry.create_tenant('acme', 'Acme')").fetchone() or ("",)
        there.execute("select tenantry.add_member(%s, 'ann@acme.example', 'Ann', 'owner')", (tenant,))
        there.execute("select tenantry.create_session(%b, 'ann@acme.example', %s, interval '1 day')", (token, tenant))
        there.execute(
            "insert into notes (tenant_id, body) select %s, 'note ' || n from generate_series(1, 1000) n", (tenant,)
        )
    assert old.status().major == 15

    server = Embedded(home, old.status().port)
    with monkeypatch.context() as broken:
        broken.setattr(upgrading, "_filled", lambda *_: (_ for _ in ()).throw(DatabaseNotReady(why="a test", cure="")))
        with pytest.raises(DatabaseNotReady):
            upgrade(server, finish=harden)
    assert server.status().major == 15

    done = upgrade(server, finish=harden)
    assert (done.from_major, done.to_major) == (15, 18)
    assert server.status().major == 18
    assert done.old is not None
    assert done.old.exists()
    again = server.ensure()
    assert again.platform == urls.platform
    with psycopg.connect(again.platform.reveal()) as there:
        there.execute("select * from tenantry.enter(%b)", (token,))
        assert there.execute("select count(*) from notes").fetchone() == (1000,)
    with psycopg.connect(again.platform.reveal()) as there:
        assert there.execute("select count(*) from notes").fetchone() == (0,)
    push(server.superuser_url("socket"), [*OURS, NOTES], urls=again, repairs=REPAIRS, look=holes)
    assert upgrade(server, finish=harden).old is None  # there is nothing newer
    assert remove_old(server) == [done.old]
    assert not done.old.exists()

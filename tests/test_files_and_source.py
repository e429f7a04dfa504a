"""Files that are written whole, and places in source code as people are told of them."""

import os
import stat
import sysconfig
from pathlib import Path

import pytest

import tenantry
from tenantry.files import SHARED, short_folder_for, write_whole
from tenantry.source import is_foreign, place


def test_a_file_is_replaced_whole_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("a much longer text than the next one")
    path.chmod(0o644)
    write_whole(path, b"short", is_durable=True)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"short", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_for_other_tools_has_the_rights_of_the_umask(tmp_path: Path) -> None:
    write_whole(tmp_path / "types.ts", b"", mode=SHARED)
    (tmp_path / "other").touch()
    assert (tmp_path / "types.ts").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_link_laid_beside_it_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("kept")
    (tmp_path / f".state.{os.getpid()}").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        write_whole(tmp_path / "state", b"new")
    assert (tmp_path / "victim").read_text() == "kept"


def test_a_folder_of_a_long_name_has_one_short_folder() -> None:
    long = Path("/" + "x" * 200)
    assert short_folder_for(long) == short_folder_for(long) != short_folder_for(long / "y")
    assert len(str(short_folder_for(long))) < 80


@pytest.mark.parametrize(
    ("file", "said"),
    [("/srv/shop/desk/notes.py", "desk/notes.py:4"), ("notes.py", "notes.py:4"), ("/notes.py", "notes.py:4"), ("<stdin>", "<stdin>:4")],
)  # fmt: skip
def test_a_place_is_the_file_in_its_folder(file: str, said: str) -> None:
    assert place(file, 4) == said


@pytest.mark.parametrize(
    ("file", "is_it"),
    [
        ("/usr/src/app/notes.py", False),  # where Python itself stands in /usr
        (f"{Path(tenantry.__file__).parent}_shop/notes.py", False),
        (tenantry.__file__, True),
        (f"{sysconfig.get_path('stdlib')}/asyncio/events.py", True),
        ("/srv/.venv/lib/python3.12/site-packages/pydantic/main.py", True),
        ("/usr/lib/python3/dist-packages/yaml/__init__.py", True),
        ("<frozen importlib._bootstrap>", True),
    ],
)
def test_the_applications_code_is_told_from_the_rest(file: str, is_it: bool) -> None:
    assert is_foreign(file) is is_it

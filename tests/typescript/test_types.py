"""The generated types, with real tsc: what the server takes compiles, what it refuses does not, and what comes back is as typed."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tenantry import Tenantry
from tenantry.cli.typescript import router_text
from tenantry.rpc.typescript import AUTH_MODULE, declarations
from tests.clients import trpc_fixture
from tests.clients.test_stock_clients import native
from tests.conftest import Database
from tests.harness import opened
from tests.typescript.everything import application
from tests.typescript.goldens import FOLDER, golden_texts

HERE = Path(__file__).parent
TSC = HERE / "node_modules" / ".bin" / "tsc"
KIT_SAMPLE = HERE.parent / "clients/trpc/types-sample.d.ts"
needs_npm = pytest.mark.skipif(shutil.which("node") is None or not TSC.exists(), reason="tsc is not here")


def compiled(project: str, *options: str) -> str:
    """What tsc says; nothing when all is well."""
    done = subprocess.run(
        [TSC, "-p", project, *options], cwd=HERE, capture_output=True, text=True, timeout=300, check=False
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def build() -> Path:
    """The generated texts as .ts files: tsc looks less closely at .d.ts files."""
    folder = HERE / "build"
    folder.mkdir(exist_ok=True)
    texts = {Path(name).name.replace(".d.ts", ".ts"): text for name, text in golden_texts().items()}
    texts |= {"auth.ts": AUTH_MODULE, "builtin.ts": declarations(Tenantry[None]().procedures())}
    texts |= {"kit-ours.ts": texts["types-sample.ts"], "kit-theirs.ts": KIT_SAMPLE.read_text("utf-8")}
    for name, text in texts.items():
        half = folder / f".{name}.{os.getpid()}"  # another worker may be reading
        half.write_text(text, "utf-8")
        half.replace(folder / name)
    return folder


def test_the_declarations_are_the_golden_ones() -> None:
    for name, text in golden_texts().items():
        assert text == (FOLDER / name).read_text("utf-8"), (
            f"{name}: if it is meant, run python -m tests.typescript.goldens"
        )


def test_the_declarations_are_the_same_whatever_was_read_before() -> None:
    assert golden_texts() == golden_texts()


def test_the_command_sees_what_an_application_speaks_and_adds_to_its_errors() -> None:
    assert "transformer: true }" in router_text(application(transformer="superjson"), None)
    assert "transformer: false }" in router_text(application(transformer="superjson"), "none")
    text = router_text(trpc_fixture.app, None)
    assert "transformer: false }" in text
    assert "  fields: Record<string, string[]> | null;" in text


@needs_npm
def test_what_the_server_takes_compiles_and_what_it_refuses_does_not(build: Path) -> None:
    assert compiled("tsconfig.json") == ""


@needs_npm
def test_tsc_would_see_a_wrong_sample(build: Path, tmp_path: Path) -> None:
    (tmp_path / "plain.ts").write_text(golden_texts()["golden/plain.d.ts"], "utf-8")
    (tmp_path / "wrong.ts").write_text(
        "import type { Author } from './plain.js';\nexport const ann: Author = { id: 1 };\n", "utf-8"
    )
    (tmp_path / "node_modules").symlink_to(HERE / "node_modules")
    (tmp_path / "tsconfig.json").write_text(
        '{"extends": "%s", "include": ["wrong.ts"]}' % (HERE / "tsconfig.json"), "utf-8"
    )
    assert "wrong.ts" in compiled(str(tmp_path / "tsconfig.json"))


@pytest.fixture(scope="module")
def programs(build: Path) -> Path:
    """The programs of runtime/, compiled with the generated types."""
    code = build / f"run-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    assert compiled("tsconfig.runtime.json", "--outDir", str(code)) == ""
    return code


RUNS: list[tuple[str, dict[str, Any]]] = [
    ("plain", {}),
    ("numbers", {}),
    ("streams", {}),
    ("superjson", {"transformer": "superjson"}),
]


@needs_npm
@pytest.mark.parametrize(("program", "options"), RUNS, ids=[name for name, _ in RUNS])
async def test_what_comes_back_has_the_shape_that_the_types_say(
    database: Database, programs: Path, program: str, options: dict[str, Any]
) -> None:
    async with opened(application(**options), database) as app, native(app) as url:
        process = await asyncio.create_subprocess_exec(
            "node", str(programs / "runtime" / f"{program}.js"), env={**os.environ, "URL": url}, cwd=HERE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == 0, out.decode()

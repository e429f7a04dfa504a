"""The TypeScript of README, guides and explanations, with real tsc against types that the command writes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Annotated
from uuid import UUID

import pytest
from msgspec import Meta

from tenantry import Ctx, Page, Problem, Record, Tenantry
from tenantry.rpc.typescript import AUTH_MODULE
from tests.docs.test_links import PAGES, ROOT
from tests.typescript.test_types import HERE, TSC, needs_npm

BLOCK = re.compile(r"^```(tsx?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
IMPORTS = {
    "AppRouter": "import type { AppRouter } from './app-router';",
    "useSession": "import { signIn, useSession } from 'next-auth/react';\nimport type {} from './auth';",
}
AROUND = {
    # A member of what a subscription is given; statements of a component.
    "onError(error) {": ("export const handlers = api.notes.added.subscribe(undefined, {", "});"),
    "const { data: session": ("export async function Component() {\nif (Math.random() > 2) return;", "}"),
}
CLIENT = """
import { createTRPCClient as made, httpLink as link } from '@trpc/client';
import type { AppRouter } from './app-router';
const api = made<AppRouter>({ links: [link({ url: '/trpc' })] });
"""


class Note(Record):
    id: UUID
    body: str


class TooManyProjects(Problem):
    """The plan has no room for another project."""

    code = "CONFLICT"
    says = "The plan has room for {limit} projects."
    limit: int


def application() -> Tenantry:
    """What the pages speak of."""
    app = Tenantry()
    notes = app.router("notes")

    @notes.query
    async def recent(ctx: Ctx, limit: Annotated[int, Meta(ge=1)] = 20) -> Page[Note]:
        raise TooManyProjects(limit=limit)

    @notes.subscription
    async def added(ctx: Ctx):  # type: ignore[no-untyped-def]
        yield 1

    return app


def test_there_are_blocks() -> None:
    assert len(blocks()) >= 4


def blocks() -> list[tuple[str, str, str]]:
    """(page and number, language, text) of every block."""
    return [
        (f"{page.relative_to(ROOT)}#{number}", found[1], found[2])
        for page in PAGES
        if page.parent.name != "tutorial"  # its own test writes each of its files, and builds them
        for number, found in enumerate(BLOCK.finditer(page.read_text("utf-8")), 1)
    ]


def program(text: str) -> str:
    """A block as a module of its own."""
    lines = [line for name, line in IMPORTS.items() if name in text and f"type {{ {name} }}" not in text]
    before, after = next((around for first, around in AROUND.items() if text.startswith(first)), ("", ""))
    if "api." in before or ("api." in text and "const api" not in text):
        lines.append(CLIENT)
    return "\n".join([*lines, before, text, after, "export {};\n"])


@needs_npm
def test_every_block_compiles(tmp_path: Path) -> None:
    from tenantry.cli.typescript import router_text

    (tmp_path / "app-router.d.ts").write_text(router_text(application(), None), "utf-8")
    (tmp_path / "auth.ts").write_text(AUTH_MODULE, "utf-8")
    (tmp_path / "block-next.d.ts").write_text((HERE / "samples" / "next-headers.d.ts").read_text("utf-8"), "utf-8")
    names: dict[str, str] = {}
    for number, (where, language, text) in enumerate(blocks()):
        names[f"block{number}.{language}"] = where
        (tmp_path / f"block{number}.{language}").write_text(program(text), "utf-8")
    (tmp_path / "node_modules").symlink_to(HERE / "node_modules")
    options = {
        "module": "esnext",
        "moduleResolution": "bundler",
        "lib": ["es2023", "dom", "dom.iterable", "dom.asynciterable"],
    }
    (tmp_path / "tsconfig.json").write_text(
        json.dumps({"extends": str(HERE / "tsconfig.json"), "compilerOptions": options, "include": ["block*"]}), "utf-8"
    )
    done = subprocess.run(
        [TSC, "-p", str(tmp_path / "tsconfig.json")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=tmp_path,
    )
    said = done.stdout + done.stderr
    for name, where in names.items():
        said = said.replace(name, where)
    assert said == ""
    if done.returncode:
        pytest.fail("tsc failed and said nothing")

"""The same malformed requests to @trpc/server and to Tenantry: the same answers, but for what docs/explanation/protocol.md lists.

A sample at each run; `make soak SOAK="-k differential"` sends many with a seed of its own (`DIFF_SEED`, `DIFF_COUNT`). What is compared is
what a client sees: status, results, error codes, paths, events, lines, messages of a socket.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from tests.clients.differential.heard import ask, talk
from tests.clients.differential.made import Request, frame_of, request_of
from tests.clients.test_trpc_kit import native
from tests.clients.trpc_fixture import app
from tests.conftest import Database
from tests.harness import opened

KIT = Path(__file__).parents[1] / "trpc"
pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not here"),
    pytest.mark.skipif(not (KIT / "node_modules").exists(), reason="the kit's packages are not installed"),
]
SEED = int(os.environ.get("DIFF_SEED", random.randrange(10**6)))
COUNT = int(os.environ.get("DIFF_COUNT", "6000"))
AT_ONCE = 20


@asynccontextmanager
async def reference() -> AsyncIterator[int]:
    # Not as a program: it does not know itself in a path with a space.
    start = "import('./reference-server.mjs').then((it) => it.start(0)).then((it) => console.log(it.address().port))"
    process = await asyncio.create_subprocess_exec("node", "-e", start, cwd=KIT, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield int(await asyncio.wait_for(process.stdout.readline(), 30))
    finally:
        process.terminate()
        await process.wait()


def known(request: Request, ours: dict[str, Any]) -> bool:
    """Whether a difference stands in docs/explanation/protocol.md, or is the fixture's own."""
    _, target, headers, body = request
    path, sent, said = target.split("?")[0], target + body.decode(), json.dumps(ours)
    refuses = '"BAD_REQUEST"' in said
    kinds = [value for name, value in headers if name == "content-type"]
    return (
        (re.search(r"/\.\.?$", path) is not None and ours.get("status") == 404)  # dot segments name nothing here
        or (
            refuses and any(kind.startswith(("multipart", "application/octet")) for kind in kinds)
        )  # it takes no stream
        or ("/superjson/" in path and refuses and "meta" in sent)  # a meta that does not fit its value
        or ("/superjson/" in path and "-0" in sent)  # the sign of a zero
        or "__proto__" in sent  # a name like any other
        or "input=%EF%BB%BF" in target  # a byte order mark is taken in a URL too
        or (("last-event-id", "x") in headers and "sub.tracked" in path)  # the fixture's own arithmetic
    )


def is_known_of_sockets(text: str) -> bool:
    """What comes later has no place on a socket: an error here, `{}` there. A subscription that is stopped, or begun again, in the frame
    that began it: it has failed here before the next one is looked at, and there after.
    """
    begun = re.findall(r'"id":("?\w+"?),"method":"subscription",', text)
    ended = set(re.findall(r'"id":("?\w+"?),"method":"subscription.stop",', text))
    return '"defer.' in text or "__proto__" in text or bool(set(begun) & ended) or len(begun) > len(set(begun))


async def requests_differ(database: Database, seed: int, count: int) -> list[str]:
    rng = random.Random(seed)
    differences: list[str] = []
    async with opened(app, database, cors_origins="http://app.example"), native() as url, reference() as port:
        own = int(url.split(":")[2].split("/")[0])
        for _ in range(0, count, AT_ONCE):
            requests = [request_of(rng) for _ in range(AT_ONCE)]
            answers = await asyncio.gather(*(ask(peer, request) for request in requests for peer in (port, own)))
            for request, theirs, ours in zip(requests, answers[::2], answers[1::2], strict=True):
                if theirs != ours and not known(request, ours):
                    differences.append(f"{request}\n  theirs {theirs}\n  ours   {ours}")
    return differences


async def messages_differ(database: Database, seed: int, count: int) -> list[str]:
    rng = random.Random(seed)
    differences: list[str] = []
    async with opened(app, database, cors_origins="http://app.example"), native() as url, reference() as port:
        own = int(url.split(":")[2].split("/")[0])
        for _ in range(0, count, 4 * AT_ONCE):
            talks: list[tuple[str, list[str], dict[str, str]]] = []
            for _ in range(AT_ONCE):
                headers = (
                    {} if rng.random() < 0.7 else {"authorization": rng.choice(["Bearer member-token", "Bearer boom"])}
                )
                talks.append(("trpc", [frame_of(rng) for _ in range(4)], headers))
            heard = await asyncio.gather(*(talk(peer, *one) for one in talks for peer in (port, own)))
            for (_, texts, _), theirs, ours in zip(talks, heard[::2], heard[1::2], strict=True):
                for text, their, our in zip_longest(texts, theirs, ours, fillvalue="nothing more"):
                    if their != our and not is_known_of_sockets(text):
                        differences.append(f"{text}\n  theirs {their}\n  ours   {our}")
                    if "closed" in (their, our):
                        break  # one hears no more of what follows
    return differences


def none_of(differences: list[str], seed: int, count: int) -> None:
    assert not differences, "\n".join([f"{len(differences)} of {count}, seed {seed}", *differences[:10]])


async def test_malformed_requests_are_answered_as_the_reference_server_does(database: Database) -> None:
    none_of(await requests_differ(database, 11, 400), 11, 400)


async def test_malformed_messages_are_answered_as_the_reference_server_does(database: Database) -> None:
    none_of(await messages_differ(database, 11, 400), 11, 400)


@pytest.mark.soak
async def test_many_malformed_requests(database: Database) -> None:
    print(f"seed {SEED}, {COUNT} requests")
    none_of(await requests_differ(database, SEED, COUNT), SEED, COUNT)


@pytest.mark.soak
async def test_many_malformed_messages(database: Database) -> None:
    print(f"seed {SEED}, {COUNT // 2} messages")
    none_of(await messages_differ(database, SEED, COUNT // 2), SEED, COUNT // 2)

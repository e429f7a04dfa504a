"""`serve --reload --types`: new code in a moment, no request lost, the old code goes on where the new one does not start."""

from __future__ import annotations

import os
import time

from tests.conftest import Database
from tests.processes.place import APP, get_request, placed, under_load


async def test_a_change_gives_new_workers_and_types_and_a_syntax_error_keeps_the_old(database: Database) -> None:
    with placed(database) as place:
        served, types = place.folder / "served.py", place.folder / "web" / "app-router.d.ts"
        place.serve("--reload", "--types", str(types))
        place.until(types.exists)
        assert place.get("test.ping") == {"result": {"data": "pong"}}
        time.sleep(2)  # the worker in waiting has its libraries

        async with under_load(place.port, get_request("test.ping"), clients=4) as load:
            took: list[float] = []
            for word in ("first", "second"):
                begun = time.monotonic()
                served.write_text(APP.replace('"pong"', f'"{word}"'))
                await until(lambda word=word: place.get("test.ping") == {"result": {"data": word}})
                took.append(time.monotonic() - begun)
                await until(lambda: place.status().get("state") == "ready")
                await pause(2)
            before = place.workers
            served.write_text(APP + "\ndef broken(:\n")
            await until(lambda: "reload stopped, the old workers go on" in place.log.read_text())
            assert place.workers == before
            assert "SyntaxError" in place.log.read_text()
            served.write_text(
                APP + '\n@test.query(public=True)\nasync def more(ctx: Visitor) -> str:\n    return "more"\n'
            )
            await until(lambda: place.get("test.more") == {"result": {"data": "more"}})
            await until(lambda: "more:" in types.read_text())
        assert load.failures == []
        assert min(took) < 5  # under a second, on a machine that does nothing else


async def test_two_saves_of_one_length_in_one_second_are_two(database: Database) -> None:
    with placed(database) as place:
        served = place.folder / "served.py"
        place.environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled files are written, as at home
        place.serve("--reload")
        second = int(time.time())
        for word in ("aaaa", "bbbb", "cccc"):
            served.write_text(APP.replace('"pong"', f'"{word}"'))
            os.utime(served, (second, second))
            await until(lambda word=word: place.get("test.ping") == {"result": {"data": word}})


async def until(is_so: object, seconds: float = 60) -> None:
    import asyncio

    begun = time.monotonic()
    while not await asyncio.to_thread(is_so):  # pyright: ignore[reportArgumentType] - a function
        assert time.monotonic() - begun < seconds
        await asyncio.sleep(0.05)


async def pause(seconds: float) -> None:
    import asyncio

    await asyncio.sleep(seconds)

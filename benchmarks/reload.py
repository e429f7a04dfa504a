"""How long `serve --reload` takes: from a file's write to the first answer of the new code.

    nice -n -5 .venv/bin/python benchmarks/reload.py [--runs 15] [--json]

A project as `tenantry new` makes it, on an embedded server of its own, both dropped afterwards. Three things are timed, without and with
`--types`: a change of a feature file, until a call gives the new text (and until the types have the new procedure); a syntax error, until the
page /_dev tells it; its mend, until a call gives the new text and the banner is gone. Each run writes one file and asks 100 times a second over new connections, as a browser does.
The load of the machine stands beside: what else runs is in every figure.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from check import FILE, KINDS, TABLE

ASK_SECONDS = 0.01
MOST_SECONDS = 60.0
PING = """

@notes.query(public=True)
async def word(ctx: Visitor) -> str:
    return "{word}"


@notes.query(public=True)
async def by_{word}(ctx: Visitor) -> str:
    return "{word}"
"""
BROKEN = "\ndef broken(:\n"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Place:
    """The project, its server, and what is asked of it."""

    def __init__(self, procedures: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tenantry-reload-"))
        self.folder.chmod(0o755)
        self.port = free_port()
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.environment = {**kept, "PORT": str(self.port), "TENANTRY_POSTGRES_PORT": str(free_port())}
        self.tenantry(self.folder, "new", "desk")
        self.project = self.folder / "desk"
        self.source = self.project / "desk" / "notes.py"
        self.text = self.source.read_text().replace("from tenantry import ", "from tenantry import Visitor, ", 1)
        self._grow(procedures // 10)
        self.types = self.project / "web" / "app-router.d.ts"

    def _grow(self, files: int) -> None:
        """So many files more, of ten procedures and a table each."""
        names = [f"things{n}" for n in range(files)]
        for n, name in enumerate(names):
            text = FILE.format(n=n) + "".join(KINDS[i % len(KINDS)].format(n=n, i=i) for i in range(10))
            (self.project / "desk" / f"{name}.py").write_text(text)
            (self.project / "migrations" / f"{n + 2:04d}_{name}.sql").write_text(TABLE.format(n=n))
        main = self.project / "desk" / "main.py"
        listed = ", ".join(["notes", *names])
        main.write_text(
            main.read_text().replace("import notes", f"import {listed}").replace("include(notes)", f"include({listed})")
        )

    def tenantry(self, folder: Path, *arguments: str) -> str:
        command = [sys.executable, "-m", "tenantry.cli.main", *arguments]
        done = subprocess.run(
            command, cwd=folder, env=self.environment, capture_output=True, text=True, check=False, timeout=300
        )
        if done.returncode != 0:
            raise SystemExit(done.stdout + done.stderr)
        return done.stdout

    def serve(self, *more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tenantry.cli.main", "serve", "--reload", *more]
        log = (self.folder / "log").open("ab")
        return subprocess.Popen(command, cwd=self.project, env=self.environment, stdout=log, stderr=log)

    def get(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        except OSError:
            return ""
        finally:
            connection.close()

    def says(self, word: str) -> bool:
        return f'"{word}"' in self.get("/trpc/notes.word")

    def is_stale(self) -> bool:
        return "SyntaxError" in self.get("/_dev/state")

    def until(self, is_so: Callable[[], bool]) -> float:
        """Seconds until it is so."""
        begun = time.perf_counter()
        while not is_so():
            if time.perf_counter() - begun > MOST_SECONDS:
                lines = [
                    line
                    for line in (self.folder / "log").read_text().splitlines()
                    if " notes.word " not in line and '"procedure"' not in line
                ]
                raise SystemExit("\n".join(lines[-40:]))
            time.sleep(ASK_SECONDS)
        return time.perf_counter() - begun

    def write(self, word: str, more: str = "") -> None:
        self.source.write_text(self.text + PING.format(word=word) + more)


def measure(place: Place, runs: int, pause: float, *, has_types: bool) -> dict[str, list[float]]:
    """Seconds by what was timed."""
    took: dict[str, list[float]] = {"change": [], "syntax error": [], "mend": []}
    for number in range(runs):
        time.sleep(pause)
        place.write(f"change{number}")
        took["change"].append(place.until(lambda number=number: place.says(f"change{number}")))
        if has_types:
            more = place.until(lambda number=number: f"byChange{number}:" in place.types.read_text())
            took.setdefault("change, until its types", []).append(took["change"][-1] + more)
        time.sleep(pause)
        place.write(f"change{number}", BROKEN)
        took["syntax error"].append(place.until(place.is_stale))
        assert place.says(f"change{number}"), "the old code goes on"
        time.sleep(pause)
        place.write(f"mend{number}")
        took["mend"].append(place.until(lambda number=number: place.says(f"mend{number}") and not place.is_stale()))
    return took


def main() -> None:
    wanted = argparse.ArgumentParser(description=__doc__)
    wanted.add_argument("--runs", type=int, default=15)
    wanted.add_argument("--procedures", type=int, default=0, help="so many more, ten a file")
    wanted.add_argument(
        "--pause", type=float, default=2.0, help="seconds between two writes: whoever writes code thinks for longer"
    )
    wanted.add_argument("--json", action="store_true")
    given = wanted.parse_args()
    place = Place(given.procedures)
    found: dict[str, dict[str, list[float]]] = {}
    load = [os.getloadavg()[0]]
    try:
        for name, more in (("without --types", ()), ("with --types", ("--types", str(place.types)))):
            place.write("beginning")
            server = place.serve(*more)
            try:
                place.until(lambda: place.says("beginning"))
                found[name] = measure(place, given.runs, given.pause, has_types=bool(more))
            finally:
                server.terminate()
                server.wait(30)
            load.append(os.getloadavg()[0])
    finally:
        place.tenantry(place.project, "db", "stop")
        shutil.rmtree(place.folder, ignore_errors=True)
    if given.json:
        print(json.dumps({"load": load, "seconds": found}))
        return
    print(
        f"load {' → '.join(f'{one:.1f}' for one in load)}; Python {sys.version.split()[0]}, {os.cpu_count()} cores, {given.runs} runs"
    )
    print("| | median s | least | most |\n| --- | --- | --- | --- |")
    for name, kinds in found.items():
        for kind, seconds in kinds.items():
            print(f"| {kind}, {name} | {statistics.median(seconds):.2f} | {min(seconds):.2f} | {max(seconds):.2f} |")


if __name__ == "__main__":
    main()

"""`tenantry top`: a live picture of the service; `--once` prints it once, `--json` gives the figures."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec

from tenantry.cli.place import show
from tenantry.settings import Settings

if TYPE_CHECKING:
    from tenantry.ops.top import Statement, View

SLOWEST = """
select query, calls, mean_exec_time, total_exec_time
  from pg_stat_statements s
  join pg_database d on d.oid = s.dbid and d.datname = current_database()
 where query <> '<insufficient privilege>' and query !~* 'pg_stat_statements|tenantry\\.(defects|enter)'
 order by total_exec_time desc limit 5
"""


class Looker:
    """Samples twice and more, and asks the database for its statements now and then, softly."""

    def __init__(self, settings: Settings) -> None:
        from tenantry.ops.incidents.book import Book
        from tenantry.ops.metrics import Slots, collect

        self.settings = settings
        self.collect = collect
        self.slots = Slots(settings.home / "run")
        self.book = Book(settings.home)
        self.before = collect(self.slots)
        self.at = time.monotonic()
        self.statements: list[Statement] = []
        self.asked_at = -1e9

    def look(self) -> View:
        """The figures since the last look."""
        from tenantry.ops.tenants import noisiest
        from tenantry.ops.top import view

        after, at = self.collect(self.slots), time.monotonic()
        memory = self.book.read()
        if at - self.asked_at > 5:
            self.asked_at = at
            self.statements = self._statements()
        seen = view(
            self.before, after, at - self.at, time.time(), service=self.settings.service,
            firing=[] if memory is None else memory.firing,
            incidents=[] if memory is None else [i for i in memory.incidents if i.is_open],
            statements=self.statements, noisiest=noisiest(self.settings.home, time.time()),
        )  # fmt: skip
        self.before, self.at = after, at
        return seen

    def _statements(self) -> list[Statement]:
        """The slowest by the server's own count; nothing when it cannot be asked at once."""
        from tenantry.cli.place import embedded
        from tenantry.ops.top import Statement

        try:
            import psycopg

            own = embedded(self.settings)
            url = self.settings.urls().ops if own is None else own.urls().ops
            options = "-c statement_timeout=1000"
            with psycopg.connect(url.reveal(), connect_timeout=2, options=options) as connection:
                rows: list[Any] = connection.execute(SLOWEST).fetchall()
        except Exception:  # whatever it is: the picture goes on without
            return []
        return [Statement(text, int(calls), float(mean), float(total)) for text, calls, mean, total in rows]


def run(arguments: argparse.Namespace) -> int:
    """The command."""
    settings = Settings.load()
    looker = Looker(settings)
    if arguments.json or arguments.once:
        time.sleep(arguments.interval)
        seen = looker.look()
        if arguments.json:
            show(msgspec.to_builtins(seen))
        else:
            _print(seen)
        return 0
    return _live(looker, arguments.interval)


def _print(seen: View) -> None:
    from rich.console import Console

    from tenantry.ops.top import Tops
    from tenantry.ops.top.picture import draw

    console = Console()
    tops = Tops()
    tops.add(seen)
    console.print(draw(seen, tops, width=console.width))


def _live(looker: Looker, interval: float) -> int:
    """Until Ctrl-C, on a screen of its own."""
    from rich.console import Console
    from rich.live import Live

    from tenantry.ops.top import Tops
    from tenantry.ops.top.picture import draw

    console = Console()
    if not console.is_terminal:
        sys.stderr.write("This is no terminal; use --once or --json.\n")
        return 2
    tops = Tops()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            try:
                time.sleep(interval)
                seen = looker.look()
                tops.add(seen)
                live.update(draw(seen, tops, width=console.width), refresh=True)
            except KeyboardInterrupt:
                return 0

"""`tenantry`: the commands, their options, and their exit codes: 0 well, 1 failed, 2 used or set wrongly."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tenantry.errors import BuilderError, SettingsFaulty, StartError, VerifyImpossible

Run = Callable[[argparse.Namespace], int]
_EXIT = "0 well, 1 failed, 2 used or set wrongly"
_EXITS = {
    "alerts:replay": "0 every case is as written, 1 one differs, 2 used or set wrongly",
    "audit:verify": "0 the trail is whole, 1 it is not, 2 used or set wrongly",
    "check:run": "0 no error (there may be warnings), 1 an error, 2 used or set wrongly",
    "database:status": "0 all is applied and isolation holds, 1 something waits, was changed, or is open, 2 used or set wrongly",
    "diff:run": "0 the database is what the files make, 1 it is not, or a file waits, 2 used or set wrongly",
    "doctor:run": "0 all is well, 1 something was found, 2 a probe could not look, 3 a remedy failed",
    "drill:run": "0 every drill went well, 1 one did not, 2 used or set wrongly",
    "incidents:oncall": "0 every level has somebody, 1 one has nobody, 2 used or set wrongly",
    "incidents:test": "0 every channel took it, 1 one did not, or there is none, 2 used or set wrongly",
    "serve:status": "0 it serves, 1 it does not, 2 used or set wrongly",
    "typescript:run": "0 written (with --check: up to date), 1 failed (with --check: out of date), 2 used or set wrongly",
    "verify:run": "0 the tenants are kept apart, 1 a hole or a leak, 2 it could not look, or used or set wrongly",
}
"""Where 1 is an answer and no failure."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; foreseen faults are words with a remedy, never a traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = make_parser()
    parsed, rest = parser.parse_known_args(given)
    if rest and not getattr(parsed, "takes_rest", False):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    parsed.rest = rest
    try:
        room, _, name = parsed.run.partition(":")
        run: Run = getattr(import_module(f"tenantry.cli.{room}"), name)
        return run(parsed)
    except (StartError, BuilderError) as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, (SettingsFaulty, VerifyImpossible)) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 1


def make_parser() -> argparse.ArgumentParser:
    """Every command with its help and an example."""
    parser = argparse.ArgumentParser(
        prog="tenantry", description="The multi-tenant backend.", epilog="Example: tenantry serve notes:app"
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    _serving(commands)
    db = commands.add_parser("db", help="migrations, and the database itself").add_subparsers(
        required=True, metavar="ACTION"
    )
    push = _command(
        db, "push", "database:push", "apply migrations and repair what was broken", "tenantry db push --json"
    )
    push.add_argument("app", nargs="?", help="module:variable, for its permissions (or TENANTRY_APP)")
    push.add_argument("--no-repair", action="store_true", help="only look at what a repair would put back, and say so")
    _command(
        db, "new", "migration:new", "an empty migration with the next number", "tenantry db new add_title"
    ).add_argument("name", help="what it does, in small letters and _")
    _command(
        db, "adopt", "migration:adopt_file", "note a migration as applied without running it: what it makes is there",
        "tenantry db adopt 0001_notes.sql",
    ).add_argument("file", help="its name in the folder of migrations")  # fmt: skip
    diff = _command(
        db, "diff", "diff:run", "what was changed in the database by hand, as SQL to keep or undo it",
        "tenantry db diff --write add_colour",
    )  # fmt: skip
    diff.add_argument("--write", metavar="NAME", help="make a migration of it, proved and noted here as applied")
    diff.add_argument(
        "--sql", choices=("keep", "undo"), help="that SQL alone: what makes the files' schema into this one, or back"
    )
    diff.add_argument(
        "--superuser-url", metavar="URL", type=_url, help="who may create the throw-away database to compare with"
    )
    protect = _command(
        db, "protect", "protect:run", "protect a table that is in use, without long locks",
        "tenantry db protect comments --tenant acme --plan",
    )  # fmt: skip
    protect.add_argument("table", help="its name: comments")
    protect.add_argument("--plan", action="store_true", help="show the steps, their locks and times, and do nothing")
    protect.add_argument("--sql", action="store_true", help="with --plan: the SQL of each step")
    protect.add_argument("--tenant", metavar="SLUG", help="all rows that are there belong to this tenant")
    protect.add_argument(
        "--from", dest="source", metavar="SQL", help="a column, or an expression over a row, that gives its tenant's id"
    )
    protect.add_argument(
        "--owner",
        metavar="COLUMN",
        help="rows belong to the user in this column; others need role admin to change them",
    )
    _command(db, "status", "database:status", "what is applied, waits, or is open", "tenantry db status")
    url = _command(db, "url", "database:url", "the URL of a role, with its password", "tenantry db url --role postgres")
    url.add_argument(
        "--role", choices=("platform", "auth", "ops", "migrate", "postgres"), default="platform",
        help="who signs in with it (default: platform, whom the policies bind)",
    )  # fmt: skip
    _command(db, "start", "database:start", "start the embedded server", "tenantry db start")
    _command(db, "stop", "database:stop", "stop the embedded server", "tenantry db stop")

    moved = _command(
        db,
        "upgrade",
        "database:upgrade",
        "move the embedded server's data to the newest PostgreSQL that is here",
        "tenantry db upgrade",
    )
    moved.add_argument("--remove-old", action="store_true", help="remove the old data that earlier upgrades kept")
    _backups(commands)
    _command(commands, "env", "database:env", "lines for eval, so that psql needs no prompt", 'eval "$(tenantry env)"')
    psql = _command(
        commands, "psql", "database:psql", "psql on the database", "tenantry psql -c 'select 1'", has_json=False
    )
    psql.add_argument(
        "--role", choices=("platform", "tenantry_ops", "tenantry_migrate", "postgres"), default="platform",
        help="who asks (default: platform, whom the policies bind)",
    )  # fmt: skip
    psql.set_defaults(takes_rest=True)
    _command(
        commands, "demo", "demo:run", "two tenants to look at, with a token for each person", "tenantry demo --json"
    )
    session = commands.add_parser("session", help="sessions by hand").add_subparsers(required=True, metavar="ACTION")
    create = _command(
        session, "create", "database:create_session", "sign a member in, and print the token",
        "tenantry session create --tenant acme --email ann@acme.example",
    )  # fmt: skip
    create.add_argument("--tenant", required=True, help="slug or id")
    create.add_argument("--email", required=True, help="of a member of that tenant")
    create.add_argument("--ttl", default="1 day", help="how long it lives, as PostgreSQL's interval (default: 1 day)")
    secret = commands.add_parser("secret", help="secrets: AUTH_SECRET, and the database's own").add_subparsers(
        required=True, metavar="ACTION"
    )
    rotate = _command(
        secret, "rotate-seal", "secret:rotate_seal", "change the key of the keyed seal, while requests run",
        "tenantry secret rotate-seal",
    )  # fmt: skip
    rotate.add_argument(
        "--wait", type=float, default=300.0, help="seconds to wait for transactions of before (default: 300)"
    )
    verify = _command(
        commands, "verify", "verify:run", "prove that tenants are kept apart on this database",
        "tenantry verify --probe --html isolation.html",
    )  # fmt: skip
    verify.add_argument(
        "--probe", action="store_true", help="try the crossings too, in a transaction that is rolled back"
    )
    verify.add_argument("--long", action="store_true", help="list every attempt, and what cannot be proved in full")
    verify.add_argument("--junit", metavar="FILE", help="write JUnit XML")
    verify.add_argument("--html", metavar="FILE", help="write a page that stands by itself")
    verify.add_argument("--url", type=_url, help="another database, with row security by a setting")
    verify.add_argument("--role", help="with --url: the role that the application signs in as")
    verify.add_argument("--setting", help="with --url: the setting that tells the tenant (app.tenant)")
    verify.add_argument(
        "--column", default="tenant_id", help="with --url: the column that holds it (default: tenant_id)"
    )
    verify.add_argument(
        "--value-type", choices=("uuid", "bigint", "text"), default="uuid", help="with --url: its type (default: uuid)"
    )
    verify.add_argument(
        "--tenant", action="append", default=[], metavar="VALUE[=SETTING]",
        help="with --url and --probe, twice: two tenants to cross between, and what the setting is for each where it differs",
    )  # fmt: skip
    _add_typescript(commands)
    _people(commands, secret)
    _command(
        commands, "settings", "about:settings", "every setting with its value, where it came from, and what it is for",
        "tenantry settings notes:app",
    ).add_argument("app", nargs="?", help="module:variable, for its own settings (or TENANTRY_APP)")  # fmt: skip
    _alerts(commands)
    _deploying(commands)
    _incidents(commands)
    _doctor(commands)
    _drills(commands)
    top = _command(commands, "top", "top:run", "a live picture of what goes on", "tenantry top --once")
    top.add_argument("--once", action="store_true", help="print it once")
    top.add_argument("--interval", type=float, default=1.0, metavar="SECONDS", help="between two looks (default: 1)")
    _looking_inside(commands)
    shell = _command(
        commands, "shell", "shell:run", "Python with await, as one member of one tenant; READ ONLY, and audited",
        "tenantry shell --as ann@acme.example notes:app", has_json=False,
    )  # fmt: skip
    shell.add_argument("app", nargs="?", help="module:variable (or TENANTRY_APP)")
    shell.add_argument("--as", dest="email", required=True, metavar="EMAIL", help="whose rows and rights it has")
    shell.add_argument("--tenant", help="slug or id, for members of several")
    shell.add_argument("--write", action="store_true", help="let it change rows; asks first")
    shell.add_argument(
        "--reason", default="", help="why; stands in the audit trail, and is needed to write in production"
    )
    new = _command(commands, "new", "new:run", "a project that runs at once, with a test", "tenantry new desk --web")
    new.add_argument("name", help="of the package and its folder")
    new.add_argument(
        "--web", action="store_true", help="also a React front end (Vite) with stock clients and wired types"
    )
    check = _command(
        commands, "check", "check:run", "every constant statement against the development database, without a request",
        "tenantry check notes:app --json",
    )  # fmt: skip
    check.add_argument("app", nargs="?", help="module:variable (or TENANTRY_APP)")
    _command(commands, "version", "about:version", "the version", "tenantry version")
    return parser


def _serving(commands: Any) -> None:
    serve = _command(
        commands, "serve", "serve:run", "serve an application", "tenantry serve notes:app --port 3001", has_json=False
    )
    serve.add_argument("app", nargs="?", help="module:variable (or TENANTRY_APP)")
    serve.add_argument("--host", help="address to listen on (HOST)")
    serve.add_argument("--port", type=_port, help="port to listen on (PORT)")
    serve.add_argument("--workers", type=_count, help="worker processes (TENANTRY_WORKERS)")
    serve.add_argument(
        "--reload", action="store_true", help="new workers when a file of this folder changes; the old serve until then"
    )
    serve.add_argument(
        "--push",
        action="store_true",
        help="apply new migrations as they are saved, too (with --reload, development only)",
    )
    serve.add_argument(
        "--types", metavar="PATH", help="keep the application's TypeScript in this file current (with --reload)"
    )
    serve.add_argument(
        "--demo", action="store_true", help="fill in demo tenants, and print lines to paste (development only)"
    )

    _command(commands, "stop", "serve:stop", "drain and end what serves here, and free the port", "tenantry stop")
    _command(
        commands, "restart", "serve:restart", "start all processes anew, under the same process id", "tenantry restart"
    )
    _command(
        commands, "reload", "serve:reload", "replace the workers one by one (also: kill -HUP)", "tenantry reload --json"
    )
    _command(commands, "status", "serve:status", "the processes that serve here", "tenantry status --json")
    _command(
        commands,
        "watch",
        "serve:watch",
        "the watcher alone, beside a stock ASGI server",
        "tenantry watch",
        has_json=False,
    )


def _deploying(commands: Any) -> None:
    kinds = (
        ("pm2", "deploy:pm2_init", "write ecosystem.config.js for PM2", "tenantry pm2 init notes:app"),
        ("systemd", "deploy:systemd_init", "write units for systemd", "tenantry systemd init notes:app --to units"),
        (
            "pgbouncer",
            "deploy:pgbouncer_init",
            "write PgBouncer's configuration",
            "tenantry pgbouncer init --to pooler",
        ),
    )
    for name, run, says, example in kinds:
        group = commands.add_parser(name, help=says).add_subparsers(required=True, metavar="ACTION")
        init = _command(group, "init", run, says, example)
        init.add_argument("--to", default=".", metavar="FOLDER", help="where to (default: here)")
        init.add_argument("--force", action="store_true", help="write over what is there")
        if name == "pgbouncer":
            init.add_argument("--listen-port", type=_port, default=6432, help="PgBouncer's port (default: 6432)")
        else:
            init.add_argument("app", nargs="?", help="module:variable (or TENANTRY_APP)")
            init.add_argument(
                "--workers", type=_count, help="worker processes (default: TENANTRY_WORKERS, or one a core)"
            )


def _alerts(commands: Any) -> None:
    alerts = commands.add_parser("alerts", help="the runbook's nine alerts").add_subparsers(
        required=True, metavar="ACTION"
    )
    _command(alerts, "list", "alerts:list_", "every alert with its thresholds", "tenantry alerts list")
    explain = _command(
        alerts, "explain", "alerts:explain", "what an alert looks at", "tenantry alerts explain HighErrorRate"
    )
    explain.add_argument("alert", help="its name, as tenantry alerts list has it")
    change = _command(
        alerts, "set", "alerts:set_", "change thresholds; an empty value puts the default back",
        "tenantry alerts set HighErrorRate.ratio=0.02",
    )  # fmt: skip
    change.add_argument(
        "threshold",
        nargs="+",
        metavar="ALERT.NAME=VALUE",
        help="an empty value puts the default back: HighErrorRate.ratio=",
    )
    test = _command(
        alerts, "test", "incidents:test", "send a test message to every channel, or to one person's",
        "tenantry alerts test --person ann",
    )  # fmt: skip
    test.add_argument("--person", help="only somebody of the on-call list")
    replay = _command(
        alerts, "replay", "alerts:replay", "run a file of cases through the rules", "tenantry alerts replay cases.yaml"
    )
    replay.add_argument("cases", metavar="FILE", help="YAML: series, and the transitions that they should make")
    replay.add_argument("--prometheus", action="store_true", help="reckon increases as PromQL does, to the last bit")
    export = _command(
        alerts, "export", "alerts:export", "the same rules for Prometheus, Alertmanager or Grafana",
        "tenantry alerts export prometheus > rules.yaml",
    )  # fmt: skip
    export.add_argument("what", choices=("prometheus", "alertmanager", "grafana"), help="for whom")
    export.add_argument("--job", default="platform-api", help="the scrape job's name (default: platform-api)")
    export.add_argument("--service", default="platform-api", help="the label service (default: platform-api)")
    export.add_argument("--more", action="store_true", help="also what is not of the runbook's nine")


def _doctor(commands: Any) -> None:
    doctor = _command(
        commands, "doctor", "doctor:run", "find what is the matter, and mend it; 0 well, 1 findings, 2 blind, 3 a remedy failed",
        "tenantry doctor --fix",
    )  # fmt: skip
    doctor.add_argument("section", nargs="?", help="one section of the runbook (health-check-failures)")
    doctor.add_argument("--alert", help="the section of an alert (HighErrorRate)")
    doctor.add_argument("--symptom", help="the sections that know this text (an error message)")
    doctor.add_argument("--fix", action="store_true", help="do what is safe")
    doctor.add_argument(
        "--approve", action="append", default=[], metavar="REMEDY", help="do this one, which needs approval"
    )
    doctor.add_argument("--by", default="", help="who approves")
    doctor.add_argument("--superuser-url", metavar="URL", type=_url, help="for remedies that need a superuser")
    doctor.add_argument("--deep", action="store_true", help="also what reads much: indexes are checked (amcheck)")
    doctor.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")
    doctor.add_argument("--long", action="store_true", help="all of the evidence, with the commands")


def _backups(commands: Any) -> None:
    backup = commands.add_parser("backup", help="backups, and the proof that they can be restored").add_subparsers(
        required=True, metavar="ACTION"
    )
    made = _command(backup, "create", "backup:create", "make a backup", "tenantry backup create --encrypt")
    made.add_argument("--encrypt", action="store_true", help="with TENANTRY_BACKUP_PASSPHRASE")
    listed = _command(
        backup, "list", "backup:list_", "the backups, and the last proven restore", "tenantry backup list"
    )
    proved = _command(
        backup,
        "verify",
        "backup:verify",
        "restore one for real into a database that is dropped again",
        "tenantry backup verify",
    )
    proved.add_argument("--quick", action="store_true", help="only compare its checksum")
    restored = _command(
        backup, "restore", "backup:restore", "restore one into a new database, and prove it",
        "tenantry backup restore 20261125-023000 --into platform_new",
    )  # fmt: skip
    restored.add_argument("--into", required=True, metavar="DATABASE", help="its name; it must not be there yet")
    for one in (proved, restored):
        one.add_argument("name", nargs="?", help="which (default: the newest)")
        one.add_argument("--superuser-url", metavar="URL", type=_url, help="for servers that are not ours")
    for one in (made, listed, proved, restored):
        one.add_argument(
            "--folder",
            type=Path,
            metavar="FOLDER",
            help="of the backups (default: TENANTRY_BACKUPS, or backups in TENANTRY_HOME)",
        )
    _export(backup, "tenantry backup export --tenant acme").add_argument("--tenant", required=True, help="slug or id")


def _looking_inside(commands: Any) -> None:
    """Memory and time of a running worker."""
    from tenantry.cli.inspecting import seconds

    heap = commands.add_parser("heap", help="the memory of a running worker, and what grew").add_subparsers(
        required=True, metavar="ACTION"
    )
    taken = _command(
        heap,
        "snapshot",
        "heap:snapshot",
        "count what it holds, in steps of 2 ms",
        "tenantry heap snapshot --worker all",
    )
    compared = _command(
        heap, "compare", "heap:compare", "what grew between two snapshots (default: the last two of one worker)",
        "tenantry heap compare 20261125-040000-4711 20261125-041000-4711",
    )  # fmt: skip
    compared.add_argument("earlier", nargs="?", help="name, or file")
    compared.add_argument("later", nargs="?", help="name, or file (default: the newest)")
    listed = _command(heap, "list", "heap:list_", "the snapshots that are kept", "tenantry heap list")
    watched = _command(
        heap, "watch", "heap:watch", "the lines that allocate what stays, from now on (tracemalloc)",
        "tenantry heap watch --seconds 60",
    )  # fmt: skip
    watched.add_argument("--seconds", type=seconds, default=30.0, help="how long (default: 30)")
    watched.add_argument("--top", type=_count, default=10, help="how many lines (default: 10)")
    watched.add_argument("--frames", type=_count, default=4, help="how many callers of each (default: 4)")
    for one in (taken, compared, listed):
        one.add_argument(
            "--folder", type=Path, metavar="FOLDER", help="of the snapshots (default: heap in TENANTRY_HOME)"
        )
    profiled = _command(
        commands, "profile", "profile:run", "where the time of a running worker goes, and a flame graph",
        "tenantry profile --seconds 10 --worker all",
    )  # fmt: skip
    profiled.add_argument("--seconds", type=seconds, default=10.0, help="how long, 300 at most (default: 10)")
    profiled.add_argument("--rate", type=_count, default=100, help="samples a second (default: 100)")
    profiled.add_argument("--threads", action="store_true", help="all threads, not only the loop's")
    profiled.add_argument(
        "--to", type=Path, metavar="FOLDER", help="for its files (default: profiles in TENANTRY_HOME)"
    )
    _slow(commands)
    for one in (taken, watched, profiled):
        one.add_argument("--worker", metavar="PID", help="a process id, or all (default: the first worker)")


def _slow(commands: Any) -> None:
    slow = _command(
        commands, "slow", "slow:run", "what the database's time goes to, by statement and procedure; plans, and the indexes they want",
        "tenantry slow --plan 1 --tenant acme",
    )  # fmt: skip
    slow.add_argument("--top", type=_count, default=15, help="how many (default: 15)")
    slow.add_argument(
        "--by",
        choices=("total", "mean", "max", "calls", "blocks"),
        default="total",
        help="the worst by this first (default: total)",
    )
    slow.add_argument(
        "--min-calls", type=_count, metavar="N", help="leave out what was called less often (with --by mean: 20)"
    )
    slow.add_argument("--procedure", metavar="PATH", help="of this procedure only (notes.recent)")
    slow.add_argument("--all", action="store_true", help="of all roles, not only the application's")
    slow.add_argument("--plan", metavar="N", help="the plan of one, by its number or id, and advice; it is not run")
    slow.add_argument(
        "--tenant", metavar="SLUG", help="with --plan: as a member of this tenant (slug or id); stands in its trail"
    )
    slow.add_argument("--reset", action="store_true", help="count anew from now on")


def _export(commands: Any, example: str) -> argparse.ArgumentParser:
    parser = _command(
        commands,
        "export",
        "export:run",
        "everything that is one tenant's, as JSON lines of one snapshot; stands in its trail",
        example,
    )
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="where its folder is made (default: here)")
    return parser


def _drills(commands: Any) -> None:
    drill = commands.add_parser(
        "drill", help="faults, injected into an installation that is thrown away"
    ).add_subparsers(required=True, metavar="ACTION")
    _command(drill, "list", "drill:list_", "the faults", "tenantry drill list")
    run = _command(
        drill, "run", "drill:run", "inject them one after the other, and measure; 1 if something did not happen that must",
        "tenantry drill run server-stopped policy-dropped",
    )  # fmt: skip
    run.add_argument("name", nargs="*", help="names or numbers (default: all)")
    run.add_argument("--tick", type=_count, default=1, metavar="SECONDS", help="TENANTRY_TICK (default: 1)")
    run.add_argument(
        "--retries", type=int, default=0, metavar="N", help="run what did not go well so many times more (default: 0)"
    )
    run.add_argument("--keep", action="store_true", help="leave the installation's files, to look into them")
    report = _command(
        drill, "report", "drill:report", "the table of the last runs", "tenantry drill report > docs/drills.md"
    )
    for one in (run, report):
        one.add_argument(
            "--to", type=Path, default=Path(".tenantry/drills.json"), metavar="FILE", help="where results are kept"
        )


def _incidents(commands: Any) -> None:
    incident = commands.add_parser("incident", help="what is, and was, the matter").add_subparsers(
        required=True, metavar="ACTION"
    )
    listed = _command(incident, "list", "incidents:list_", "open incidents", "tenantry incident list --all")
    listed.add_argument("--all", action="store_true", help="also what is resolved")
    _command(
        incident, "show", "incidents:show_one", "one incident with its timeline", "tenantry incident show inc-1a2b3c4d"
    ).add_argument("id", help="the incident: inc-1a2b3c4d")
    for name, says, example in (
        ("ack", "take an incident: no repeats, no next level", "tenantry incident ack inc-1a2b3c4d --by ann"),
        ("unack", "give it back: the clocks go on", "tenantry incident unack inc-1a2b3c4d --by ann"),
        ("resolve", "say that it is over", "tenantry incident resolve inc-1a2b3c4d --by ann"),
        ("note", "write a line into the timeline", 'tenantry incident note inc-1a2b3c4d --by ann "disk replaced"'),
    ):
        command = _command(incident, name, f"incidents:{name}", says, example)
        command.add_argument("id", help="the incident: inc-1a2b3c4d")
        if name == "note":
            command.add_argument("text", help="what was seen or done")
        command.add_argument("--by", required=True, help="who says it")
    opened = _command(
        incident, "open", "incidents:open_", "open one by hand, and page",
        'tenantry incident open --kind security --by ann "a laptop was stolen"',
    )  # fmt: skip
    opened.add_argument(
        "--kind",
        required=True,
        choices=("corruption", "rls_breach", "security", "data_breach"),
        help="what it is about",
    )
    opened.add_argument("--by", required=True, help="who opens it")
    opened.add_argument("text", help="what happened, in a line")

    silence = _command(
        commands, "silence", "incidents:silence", "what is not to be told of for a while",
        'tenantry silence --match alertname=MemoryHigh --for 2h --by ann --why "resizing"',
    )  # fmt: skip
    silence.add_argument(
        "--match", action="append", default=[], metavar="LABEL=VALUE", help="also !=, =~, !~; all must hold"
    )
    silence.add_argument("--for", dest="length", default="", metavar="TIME", help="30m, 2h, at most 7d")
    silence.add_argument("--by", default="", help="who says it")
    silence.add_argument("--why", default="", help="the reason")
    silences = silence.add_subparsers(metavar="ACTION")
    _command(silences, "list", "incidents:silences", "the silences that hold", "tenantry silence list")
    end = _command(silences, "end", "incidents:end_silence", "end one now", "tenantry silence end sil-1a2b3c --by ann")
    end.add_argument("id", help="the silence, as tenantry silence list has it")
    end.add_argument("--by", required=True, help="who ends it")

    oncall = _command(
        commands, "oncall", "incidents:oncall", "who is paged now; 1 if a level is empty", "tenantry oncall"
    )
    oncall.add_argument("--at", metavar="TIME", help="at another moment: 2026-12-24T09:00:00+01:00")


def _add_typescript(commands: Any) -> None:
    types = _command(
        commands, "typescript", "typescript:run", "the application's procedures as TypeScript, for stock tRPC clients",
        "tenantry typescript notes:app > app-router.d.ts",
    )  # fmt: skip
    types.add_argument("app", nargs="?", help="module:variable (or TENANTRY_APP)")
    types.add_argument("--out", metavar="DIR", help="write app-router.d.ts into this folder, if it changed")
    types.add_argument("--auth", action="store_true", help="write auth.ts too: auth(), and what a session holds")
    types.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 with the difference if a file is out of date"
    )
    types.add_argument("--watch", action="store_true", help="write again whenever a Python file changes")
    types.add_argument(
        "--transformer",
        choices=("none", "superjson"),
        help="what the client's links speak (default: what the application does)",
    )


def _people(commands: Any, secret: Any) -> None:
    """Tenants, the trail, the secret, and who comes over from Auth.js."""
    tenants = commands.add_parser("tenants", help="tenants, by an operator").add_subparsers(
        required=True, metavar="ACTION"
    )
    made = _command(
        tenants, "create", "tenants:create", "make a tenant and invite its first owner",
        "tenantry tenants create 'Acme Inc' --owner ann@acme.example",
    )  # fmt: skip
    made.add_argument("name", help="its name")
    made.add_argument("--owner", required=True, metavar="EMAIL", help="who is invited to own it")
    made.add_argument("--slug", help="its short name in URLs (default: from the name)")
    made.add_argument("--mail", action="store_true", help="send the invitation by AUTH_EMAIL_SERVER as well")
    _export(tenants, "tenantry tenants export acme --to exports").add_argument("tenant", help="slug or id")
    trail = commands.add_parser("audit", help="the audit trail").add_subparsers(required=True, metavar="ACTION")
    checked = _command(
        trail,
        "verify",
        "audit:verify",
        "prove that no line of the trail was changed",
        "tenantry audit verify --expect 3fd0…",
    )
    checked.add_argument("--expect", metavar="HASH", help="a hash that was noted earlier must still stand in the chain")
    _command(
        trail, "seal", "audit:seal", "seal what is closed, now (the server does so each minute)", "tenantry audit seal"
    )
    out = _command(
        trail, "export", "audit:export", "the trail as JSON lines", "tenantry audit export --tenant acme --since 2026-01-01",
        has_json=False,
    )  # fmt: skip
    out.add_argument("--tenant", help="slug or id; all without it")
    out.add_argument("--since", help="from this moment on (PostgreSQL's timestamp)")
    out.add_argument("--until", help="before this moment")
    pruned = _command(
        trail, "prune", "audit:prune", "delete sealed batches that are old", "tenantry audit prune --keep '400 days'"
    )
    pruned.add_argument(
        "--keep", required=True, help="how old lines may become, as PostgreSQL's interval; 30 days at least"
    )
    rotated = _command(
        secret, "rotate", "auth_secret:rotate", "put a new AUTH_SECRET into .env; the old one goes on verifying",
        "tenantry secret rotate",
    )  # fmt: skip
    rotated.add_argument("--file", default=".env", help="the file to edit (default: .env)")
    rotated.add_argument(
        "--drop-old", action="store_true", help="the old one verifies nothing any more: it leaked, or a day has passed"
    )
    taken = commands.add_parser("auth", help="sign-in").add_subparsers(required=True, metavar="ACTION")
    source = _command(
        taken, "import", "auth_import:run", "take people, accounts and sessions over from an Auth.js database",
        "tenantry auth import postgresql://app@127.0.0.1/old --tenant acme",
    )  # fmt: skip
    source.add_argument(
        "source", type=_url, help="URL of the Auth.js database (PostgreSQL adapter, or Prisma's tables)"
    )
    source.add_argument("--tenant", help="slug or id: everybody becomes a member of it")
    source.add_argument("--dry-run", action="store_true", help="only count")


def _command(
    commands: Any, name: str, run: str, says: str, example: str, *, has_json: bool = True
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=says, description=says[:1].upper() + says[1:] + ".",
        epilog=f"Example: {example}\nExit codes: {_EXITS.get(run, _EXIT)}", formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    if has_json:
        parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(run=run)
    return parser


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError
    return number


def _url(text: str) -> str:
    from tenantry.settings import DatabaseUrl

    try:
        DatabaseUrl(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            str(error)
        ) from None  # its words are without the URL, which may hold a password
    return text


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 256:
        raise ValueError
    return number


if __name__ == "__main__":
    sys.exit(main())

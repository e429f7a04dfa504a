"""`tenantry db …`, `env`, `psql`, `session create`: the database, by hand."""

from __future__ import annotations

import argparse
import os
import secrets
import shlex
import shutil

from tenantry.cli.place import AppNotFound, embedded, keep, kept, load, migrations, ready, say, show, tell, url_of
from tenantry.errors import DatabaseNotReady
from tenantry.settings import Settings


def push(arguments: argparse.Namespace) -> int:
    """Apply what is not applied, and repair."""
    from tenantry.db.migrate import push as push_all
    from tenantry.tenancy import REPAIRS, holes

    settings, admin = ready(Settings.load())
    try:
        permissions = load(arguments.app, settings).permissions
    except AppNotFound:
        # Without an application its permissions stay as they are.
        permissions = None
    done = push_all(
        admin, migrations(settings), urls=settings.urls(), repairs=REPAIRS, is_repairing=not arguments.no_repair,
        permissions=permissions, report=(lambda _: None) if arguments.json else tell, look=holes,
    )  # fmt: skip
    if arguments.json:
        show({"applied": done.applied, "repaired": done.repaired})
    else:
        say(f"{len(done.applied)} migrations applied, {len(done.repaired)} things repaired; isolation holds.")
    return 0


def status(arguments: argparse.Namespace) -> int:
    """What is applied, what waits, what is open; exit code 1 if anything is amiss."""
    from tenantry.db.migrate import status as look
    from tenantry.tenancy import holes

    settings = Settings.load()
    own = embedded(settings)
    server = None
    if own is not None:
        found = own.status()
        server = {"running": found.is_running, "port": found.port, "data": str(found.data), "log": str(found.log)}
        if not found.is_running:
            if arguments.json:
                show({"server": server})
            else:
                say("The embedded server is not running. Start it: tenantry db start")
            return 1
    settings, admin = ready(settings)
    state = look(admin, migrations(settings), holes)
    if arguments.json:
        show(
            {
                "server": server,
                "applied": state.applied,
                "waiting": state.waiting,
                "changed": state.changed,
                "defects": state.defects,
            }
        )
    else:
        if server is not None:
            say(f"embedded server   port {server['port']}, data {server['data']}")
        say(f"applied           {len(state.applied)}")
        for title, names in (("waiting", state.waiting), ("edited since", state.changed)):
            for name in names:
                say(f"{title:<18}{name}")
        for _, thing, detail, cure in state.defects:
            say(f"open              {thing}: {detail}. {cure}")
        say("isolation         " + ("holds" if state.applied and not state.defects else "does not hold"))
    return 1 if state.waiting or state.changed or state.defects else 0


def url(arguments: argparse.Namespace) -> int:
    """The URL of a role, with its password."""
    settings = Settings.load()
    own = embedded(settings)
    if own is None:
        urls = settings.urls()
        superuser = urls.admin
    else:
        own.ensure()
        urls, superuser = own.urls(), own.superuser_url()
    found = {
        "platform": urls.platform,
        "auth": urls.auth,
        "ops": urls.ops,
        "migrate": urls.admin,
        "postgres": superuser,
    }
    if arguments.json:
        show({role: one.reveal() for role, one in found.items()})
    else:
        say(found[arguments.role].reveal())
    return 0


def start(arguments: argparse.Namespace) -> int:
    """Start the embedded server."""
    own = _own()
    own.ensure()
    return _told(arguments, running=True, port=own.status().port)


def stop(arguments: argparse.Namespace) -> int:
    """Stop the embedded server."""
    was_running = _own().stop()
    return _told(arguments, running=False, was_running=was_running)


def _own():
    own = embedded(Settings.load())
    if own is None:
        raise DatabaseNotReady(
            why="DATABASE_URL names a server that is not ours", cure="Start and stop it where it runs."
        )
    return own


def _told(arguments: argparse.Namespace, **facts: object) -> int:
    if arguments.json:
        show(facts)
    else:
        say(", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in facts.items()))
    return 0


def _environment() -> dict[str, str]:
    settings = Settings.load()
    own = embedded(settings)
    if own is not None:
        own.ensure()
        return {**own.environment(), "DATABASE_URL": own.urls().platform.reveal()}
    return {"DATABASE_URL": settings.urls().platform.reveal()}


def upgrade(arguments: argparse.Namespace) -> int:
    """The embedded server's next major version. Nothing may serve meanwhile: what it wrote would be lost."""
    from tenantry.db.embedded.upgrade import remove_old
    from tenantry.db.embedded.upgrade import upgrade as move
    from tenantry.processes import status as processes
    from tenantry.tenancy import harden

    settings = Settings.load()
    own = _own()
    if arguments.remove_old:
        gone = remove_old(own)
        return _told(arguments, removed=[str(path) for path in gone])
    if processes(settings).get("serving"):
        raise DatabaseNotReady(
            why="an API serves from it, and what it writes now would be lost", cure="First: tenantry stop"
        )
    done = move(own, finish=harden, say=(lambda _: None) if arguments.json else tell)
    if done.old is None:
        return _told(arguments, version=done.to_major, moved=False)
    return _told(
        arguments, moved=True, version=done.to_major, before=done.from_major, rows=done.rows, old_data=str(done.old)
    )


def env(arguments: argparse.Namespace) -> int:
    """Lines for `eval`: with them psql reaches the database without a prompt, and curl the API and the ops listener."""
    found = _environment() | _urls(Settings.load())
    if arguments.json:
        show(found)
    else:
        for name, value in found.items():
            if name != "DATABASE_URL":  # it would turn the next command from our own server to "given by you"
                say(f"export {name}={shlex.quote(value)}")
    return 0


def _urls(settings: Settings) -> dict[str, str]:
    """Where API and ops listener were last served from this TENANTRY_HOME."""
    found = {"API_URL": url_of(settings)}
    port = settings.ops_port or kept(settings).get("ops_port")
    if port:
        found["OPS_URL"] = f"http://{settings.ops_host}:{port}"
    return found


def psql(arguments: argparse.Namespace) -> int:
    """psql on the database, as platform or another role; further arguments are psql's own."""
    settings = Settings.load()
    own = embedded(settings)
    program = shutil.which("psql")
    if program is None:
        raise DatabaseNotReady(why="psql is not on this machine", cure="Install it: apt-get install postgresql-client")
    if own is None:
        os.execvp(program, [program, settings.urls().platform.reveal(), *arguments.rest])  # noqa: S606 - psql, not a shell
    own.ensure()
    os.environ.update(own.environment())
    os.execvp(program, [program, "-U", arguments.role, "-d", "platform", *arguments.rest])  # noqa: S606 - psql, not a shell
    return 0


MOST_KEPT = 30


def create_session(arguments: argparse.Namespace) -> int:
    """A session for a member, by an operator; its token is printed once."""
    import psycopg

    settings, admin = ready(Settings.load())
    token = secrets.token_urlsafe(32)
    with psycopg.connect(admin.reveal(), cursor_factory=psycopg.RawCursor) as connection:
        row = connection.execute(
            "select id from tenantry.tenants where slug = $1 or id::text = $1", (arguments.tenant,)
        ).fetchone()
        if row is None:
            raise DatabaseNotReady(why=f'there is no tenant "{arguments.tenant}"', cure="Name it by slug or id.")
        try:
            connection.execute(
                "select tenantry.create_session($1, $2, $3, $4::interval)",
                (token.encode(), arguments.email, row[0], arguments.ttl),
            )
        except psycopg.Error as error:
            why = error.diag.message_primary or "it was refused"
            raise DatabaseNotReady(why=why, cure="Look at --email, --tenant and --ttl.") from None
    if settings.env == "development":
        # For /_dev's list of people, beside the demo's; in production no token is written anywhere.
        before = kept(settings).get("sessions", [])[-MOST_KEPT:]
        keep(settings, sessions=[*before, {"email": arguments.email, "token": token}])
    if arguments.json:
        show({"token": token, "tenant_id": str(row[0]), "email": arguments.email})
    else:
        say(token)
    return 0

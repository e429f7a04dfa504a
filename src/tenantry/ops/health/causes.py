"""Why the database gave no answer, in words that name neither host, user, database, path nor SQL. Pure.

libpq has one text for all of it, so the cause is told by its words (they are English: libpq here has no other language); what the
server itself said is told by its SQLSTATE where there is one.
"""

from __future__ import annotations

OTHER = "The database cannot be reached"
RESET = "The connection to the database was reset"
CLOSED = "The database closed the connection without an answer"
_WORDS = (
    ("connection refused", "The database refuses connections: nothing listens there"),
    ("reset by peer", RESET),
    ("broken pipe", RESET),
    ("starting up", "The database starts up (57P03)"),
    ("in recovery mode", "The database recovers after a crash (57P03)"),
    ("not yet accepting connections", "The database recovers (57P03)"),
    ("shutting down", "The database shuts down (57P03)"),
    ("too many clients", "The database has no room for another connection (53300)"),
    ("connection slots", "The database has no room for another connection (53300)"),
    ("too many connections", "The database has no room for another connection of this role or database (53300)"),
    ("not currently accepting connections", "The database accepts no connections (55000)"),
    ("password authentication failed", "The database refuses the password (28P01)"),
    ("authentication failed", "The database refuses the sign-in (28000)"),
    ("no password supplied", "The database wants a password, and none is set"),
    ("pg_hba.conf", "The server's pg_hba.conf refuses the connection (28000)"),
    ("not permitted to log in", "The role may not sign in (28000)"),
    ("permission denied for database", "The role may not connect to the database (42501)"),
    ("does not exist", "The role or the database does not exist (28000, 3D000)"),
    ("no such file", "The database refuses connections: its socket is not there"),
    ("certificate", "The server's certificate is not accepted"),
    ("ssl", "TLS to the database failed"),
    ("no route to host", "No way leads to the database's host"),
    ("network is unreachable", "No way leads to the database's host"),
    ("timed out", "The network gave up: no answer from the database's host"),
    ("terminating connection", "The server ended the connection (57P01)"),
    ("server closed the connection", CLOSED),
)
_STATES = {
    "57P01": "The server ended the connection: it shuts down, or an operator ended it (57P01)",
    "57P02": "The server crashed and recovers (57P02)",
    "57P05": "The server ended the connection: it lay idle for too long (57P05)",
}
UNKNOWN_HOST = "The name of the database's host is not known"


def of_text(text: str) -> str:
    """The cause in what libpq says of a connection."""
    lowered = text.lower()
    return next((says for word, says in _WORDS if word in lowered), OTHER)


def of_state(sqlstate: str) -> str:
    """The cause in what the server answered."""
    return _STATES.get(sqlstate, f"The database answered with an error (SQLSTATE {sqlstate or 'unknown'})")

"""Values that must not be printed: `Secret`, and database URLs, whose passwords are secrets.

Both show `•••` in `repr`, `str`, f-strings and tracebacks' locals. The real text comes out in one way only, `reveal()`,
so that a search for that word finds every place where a secret leaves. Nothing here reads the environment.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

MASK = "•••"


class Secret:
    """A text that is never shown: `repr` and `str` are `•••`; `reveal()` gives it out."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Give the real text: to a connection, a header, a digest; never to a log."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


class DatabaseUrl(Secret):
    """A `postgresql://` URL: printed without its password, taken apart without a network.

    `user`, `password` and `database` are percent-decoded; `place` is the part between `@` and `/` as it was written (it
    may name several hosts, or be empty, with the socket's folder in `?host=`). Raises ValueError, with words for the
    terminal and without the URL, when the text is not such a URL.
    """

    __slots__ = ("database", "password", "place", "query", "user")

    def __init__(self, text: str) -> None:
        super().__init__(text)
        scheme, separator, rest = text.partition("://")
        if not separator or scheme not in ("postgresql", "postgres"):
            message = "is not a URL that begins with postgresql://"
            raise ValueError(message)
        rest, _, query = rest.partition("?")
        authority, _, path = rest.partition("/")
        userinfo, _, place = authority.rpartition("@")
        user, _, password = userinfo.partition(":")
        self.user: str = unquote(user)
        self.password: str = unquote(password)
        self.place: str = place
        self.database: str = unquote(path)
        self.query: str = query
        if not self.user:
            message = "names no role: postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE"
            raise ValueError(message)
        if not self.database:
            message = "names no database: postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE"
            raise ValueError(message)
        if any("password" in pair.partition("=")[0].lower() for pair in query.split("&")):
            message = "has a password behind the question mark; put it before the @"
            raise ValueError(message)

    def with_user(self, user: str, password: str | None = None) -> DatabaseUrl:
        """Give the same place and database for another role; the password stays unless one is given."""
        return compose(user, self.password if password is None else password, self.place, self.database, self.query)

    def with_database(self, database: str) -> DatabaseUrl:
        """Give the same place and role for another database."""
        return compose(self.user, self.password, self.place, database, self.query)

    def __repr__(self) -> str:
        return compose(
            self.user, MASK if self.password else "", self.place, self.database, self.query, is_shown=True
        ).reveal()

    __str__ = __repr__


def compose(
    user: str, password: str, place: str, database: str, query: str = "", *, is_shown: bool = False
) -> DatabaseUrl:
    """Put a URL together; `user`, `password` and `database` in plain, `place` and `query` as they stand in a URL."""
    secret = password if is_shown else quote(password, safe="")
    userinfo = quote(user, safe="") + (f":{secret}" if password else "")
    return DatabaseUrl(f"postgresql://{userinfo}@{place}/{quote(database, safe='')}" + (f"?{query}" if query else ""))

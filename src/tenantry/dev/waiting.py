"""In place of an application that does not start: what is wrong, to every call and on every page, until it is mended."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from tenantry.dev.frame import ROOT, View, page
from tenantry.dev.guard import HEADERS, refusal
from tenantry.dev.home import HOME, goes_home
from tenantry.dev.stale import Stale
from tenantry.dev.static import fetched
from tenantry.http import Response
from tenantry.rpc.codes import CODES

if TYPE_CHECKING:
    from tenantry.http import Handler, Request, Respond
    from tenantry.settings import Settings

SAYS = "The application does not start"


def stand_in(settings: Settings) -> Handler:
    """A handler that tells what is wrong: a page below `/_dev`, tRPC's error shape elsewhere."""
    assert settings.env == "development"  # the process looks first
    stale = Stale(settings.home)

    def handle(request: Request, respond: Respond) -> None:
        is_ours = request.path == ROOT or request.path.startswith(f"{ROOT}/")
        refused = refusal("GET", request.peer, request.headers) if is_ours else None
        if refused is not None:
            respond(
                Response(
                    refused.status, refused.why.encode(), [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS]
                )
            )
        elif goes_home(request):
            respond(HOME)
        elif is_ours:
            respond(_page(settings, request.path[len(ROOT) :].strip("/"), stale()))
        else:
            respond(_error(stale()))

    return handle


def _page(settings: Settings, rest: str, why: str) -> Response:
    file = fetched(rest, why)
    if file is not None:
        return file
    view = View(settings.app or "Tenantry", "", os.getpid(), why, [], serves=False)
    body = f"<h1>{SAYS}</h1><p>Mend it and save: this page says when it serves.</p>"
    return Response(503, page(view, SAYS, body).encode(), [(b"content-type", b"text/html; charset=utf-8"), *HEADERS])


def _error(why: str) -> Response:
    number = CODES["SERVICE_UNAVAILABLE"].number
    data = {"code": "SERVICE_UNAVAILABLE", "httpStatus": 503, "help": why, "reload": why}
    body = msgspec.json.encode({"error": {"message": SAYS, "code": number, "data": data}})
    return Response(
        503, body, [(b"content-type", b"application/json"), (b"cache-control", b"no-store"), (b"retry-after", b"1")]
    )

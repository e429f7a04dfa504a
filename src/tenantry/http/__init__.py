"""HTTP: the native server, which writes an answer in one piece, and the ASGI shell for stock servers."""

from __future__ import annotations

from tenantry.http.asgi import AsgiShell
from tenantry.http.cors import allowed, preflight
from tenantry.http.message import Handler, Request, Respond, Response, Running
from tenantry.http.protocol import HttpLimits
from tenantry.http.server import NativeServer, bind

__all__ = [
    "AsgiShell", "Handler", "HttpLimits", "NativeServer", "Request", "Respond", "Response", "Running", "allowed", "bind",
    "preflight",
]  # fmt: skip

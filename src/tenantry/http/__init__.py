"""HTTP: the native server, which writes an answer in one piece, and the ASGI shell for stock servers."""

from __future__ import annotations

from tenantry.http.asgi import AsgiShell
from tenantry.http.cors import allowed, preflight
from tenantry.http.flow import Inflow, Outlet
from tenantry.http.message import TOO_LARGE, Application, Handler, Intake, Request, Respond, Response, Running, Stream
from tenantry.http.protocol import HttpLimits
from tenantry.http.server import NativeServer, bind
from tenantry.http.socket import Accept, Listener, Socket

__all__ = [
    "TOO_LARGE", "Accept", "Application", "AsgiShell", "Handler", "HttpLimits", "Inflow", "Intake", "Listener", "NativeServer", "Outlet",
    "Request", "Respond", "Response", "Running", "Socket", "Stream", "allowed", "bind", "preflight",
]  # fmt: skip

"""The way of a request: parse → credential → transaction → handler → encode.

`dispatcher` takes what `http` has read and decides how it is answered; `exchange` answers in one piece (a call, or a batch),
`lines` line by line, `events` as server-sent events, `sockets` over a WebSocket. Whatever carries it, one call is one `Run`.
Nothing here knows of sockets (`http`), of the wire of PostgreSQL (`db`) or of the bytes of tRPC (`rpc`).
"""

from __future__ import annotations

from tenantry.dispatch.dispatcher import Dispatcher
from tenantry.dispatch.hooks import Hooks, ResponseInfo, ResponseMeta
from tenantry.dispatch.road import Road

__all__ = ["Dispatcher", "Hooks", "ResponseInfo", "ResponseMeta", "Road"]

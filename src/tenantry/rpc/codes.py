"""tRPC's table of error codes: name → number and HTTP status (@trpc/server 11, `unstable-core-do-not-import/rpc/codes`).

Five names share -32603, so a name is never derived back from a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tenantry.errors import TrpcCode


class Code(NamedTuple):
    """The number in `error.code`, and the HTTP status of the answer."""

    number: int
    http: int


CODES: Mapping[TrpcCode, Code] = {
    "PARSE_ERROR": Code(-32700, 400),
    "BAD_REQUEST": Code(-32600, 400),
    "INTERNAL_SERVER_ERROR": Code(-32603, 500),
    "NOT_IMPLEMENTED": Code(-32603, 501),
    "BAD_GATEWAY": Code(-32603, 502),
    "SERVICE_UNAVAILABLE": Code(-32603, 503),
    "GATEWAY_TIMEOUT": Code(-32603, 504),
    "UNAUTHORIZED": Code(-32001, 401),
    "PAYMENT_REQUIRED": Code(-32002, 402),
    "FORBIDDEN": Code(-32003, 403),
    "NOT_FOUND": Code(-32004, 404),
    "METHOD_NOT_SUPPORTED": Code(-32005, 405),
    "TIMEOUT": Code(-32008, 408),
    "CONFLICT": Code(-32009, 409),
    "PRECONDITION_FAILED": Code(-32012, 412),
    "PAYLOAD_TOO_LARGE": Code(-32013, 413),
    "UNSUPPORTED_MEDIA_TYPE": Code(-32015, 415),
    "UNPROCESSABLE_CONTENT": Code(-32022, 422),
    "PRECONDITION_REQUIRED": Code(-32028, 428),
    "TOO_MANY_REQUESTS": Code(-32029, 429),
    "CLIENT_CLOSED_REQUEST": Code(-32099, 499),
}

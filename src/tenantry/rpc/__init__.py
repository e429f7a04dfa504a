"""tRPC's protocol, pure: requests in, calls out; results in, bytes out. No I/O, no clock, no database here."""

from __future__ import annotations

from msgspec import Meta

from tenantry.rpc.answer import Answer
from tenantry.rpc.bodies import Field, File, Form, Octets
from tenantry.rpc.call import Call, Limits, Parsed, RpcRequest, parse
from tenantry.rpc.codes import CODES
from tenantry.rpc.envelope import code_of, combine, failure, http_status, shape, success
from tenantry.rpc.kinds import BigInt, Deferred, Doc, Message, Whole
from tenantry.rpc.mount import Jsonl, Mount, Sse, Transformer, WebSockets
from tenantry.rpc.names import camel
from tenantry.rpc.procedure import Procedure
from tenantry.rpc.record import UNSET, Page, Record, Unset
from tenantry.rpc.router import Router
from tenantry.rpc.schema import InputSchema, OutputSchema
from tenantry.rpc.tracked import Tracked

__all__ = [
    "CODES", "UNSET", "Answer", "BigInt", "Call", "Deferred", "Doc", "Field", "File", "Form", "InputSchema", "Jsonl", "Limits", "Message",
    "Meta",
    "Mount", "Octets", "OutputSchema", "Page", "Parsed", "Procedure", "Record", "Router", "RpcRequest", "Sse", "Tracked",
    "Transformer", "Unset", "WebSockets", "Whole", "camel", "code_of", "combine", "failure", "http_status", "parse", "shape", "success",
]  # fmt: skip

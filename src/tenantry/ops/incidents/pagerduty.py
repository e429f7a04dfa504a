"""PagerDuty's webhook (version 3): acknowledgements and resolutions that were made there reach the watcher.

Anyone on the internet can reach the path, so only a body whose signature fits the secret is looked at: `X-PagerDuty-Signature` holds
`v1=` and the HMAC-SHA256 of the body, several while the secret is being changed (PagerDuty, "Verifying Webhook Signatures").
The incident is found by its `incident_key`, which is the `dedup` that its page was sent with. An event has an id: the watcher obeys it
once, for PagerDuty sends again what was not answered in time, and whoever overheard one may send it again later. What PagerDuty does
because we told it (an end) comes back as an event of the integration, and means nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from pathlib import Path
from typing import Any, Literal

import msgspec

from tenantry.http import Request, Respond, Response
from tenantry.ops.incidents.book import Book, Command
from tenantry.settings import Secret

PATH = "/hooks/pagerduty"
MOST_BYTES = 256 * 1024
log = logging.getLogger("tenantry.watch")
VERBS: dict[str, Literal["ack", "unack", "resolve"]] = {
    "incident.acknowledged": "ack",
    "incident.unacknowledged": "unack",
    "incident.resolved": "resolve",
}


class Webhook:
    """Answers POST /hooks/pagerduty."""

    def __init__(self, secret: Secret, home: Path) -> None:
        self.secret = secret.reveal().encode()
        self.book = Book(home)
        self.tasks: set[asyncio.Task[None]] = set()

    def handle(self, request: Request, respond: Respond) -> None:
        """202 for what was taken or does not concern us, 401 for a signature that does not fit."""
        body = request.body
        if request.method != "POST":
            respond(Response(405, b"", [(b"allow", b"POST")]))
        elif body is None or len(body) > MOST_BYTES:
            respond(Response(413, b"", []))
        elif not self.is_signed(body, request.header(b"x-pagerduty-signature") or b""):
            log.warning("a webhook call with a wrong signature was refused")
            respond(Response(401, b"", []))
        else:
            command = command_of(body)
            if command is not None:
                task = asyncio.get_running_loop().create_task(self._say(command))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
            respond(Response(202, b"", []))

    def is_signed(self, body: bytes, header: bytes) -> bool:
        """Whether one of the signatures fits, compared in constant time."""
        wanted = b"v1=" + hmac.new(self.secret, body, hashlib.sha256).hexdigest().encode()
        return any(hmac.compare_digest(wanted, given.strip()) for given in header.split(b",")[:8])

    async def _say(self, command: Command) -> None:
        try:
            await asyncio.to_thread(self.book.say, command, wait_seconds=0.0)
        except OSError as error:
            log.warning("an acknowledgement could not be written down: %s", type(error).__name__)


def command_of(body: bytes) -> Command | None:
    """What an event says to the watcher; None for events that say nothing to it."""
    try:
        event: Any = msgspec.json.decode(body)["event"]
        verb = VERBS.get(event["event_type"])
        key = event["data"].get("incident_key") or ""
        agent: Any = event.get("agent") or {}
        by = str(agent.get("summary") or "PagerDuty")[:100]
        is_echo = "inbound_integration" in str(agent.get("type"))
        number = event.get("id")
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return None
    if verb is None or is_echo or not isinstance(key, str) or not key.startswith("inc-"):
        return None
    return Command(verb, by, key, event=number[:100] if isinstance(number, str) else "")

"""Notification: which channel a message goes to (`channel`, `oncall`), when it is tried again (`outbox`), and the sending (`sender`)."""

from __future__ import annotations

from tenantry.ops.notify.channel import Channel, channels
from tenantry.ops.notify.oncall import Oncall, OncallFaulty, empty_levels
from tenantry.ops.notify.outbox import Outbox, Sending
from tenantry.ops.notify.sender import Sender

__all__ = [
    "Channel", "Oncall", "OncallFaulty", "Outbox", "Sender", "Sending", "channels", "empty_levels",
]  # fmt: skip

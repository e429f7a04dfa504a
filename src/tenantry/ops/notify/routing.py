"""Whom a message goes to: the channels of a notice, in the order in which they are tried. Pure.

A page goes to its level: the person on call, then the level's own channels. What no channel there takes goes to the next level; beyond
the last one there are those before it, for somebody is better than nobody. What is only read along goes to each reader.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from tenantry.ops.incidents import LEVELS, Level, Notice
from tenantry.ops.notify.channel import Channel
from tenantry.ops.notify.oncall import Oncall


def route(
    notice: Notice,
    readers: Sequence[Channel],
    levels: Mapping[Level, Sequence[Channel]],
    oncall: Oncall,
    at: datetime,
    environ: Mapping[str, str],
) -> list[Channel]:
    """The channels, each once. Empty where nobody is to be had."""
    if notice.level is None:
        wanted = list(readers)
    else:
        here = LEVELS.index(notice.level)
        wanted = [
            channel
            for level in (*LEVELS[here:], *reversed(LEVELS[:here]))
            for channel in [*oncall.channels(level, at, environ), *levels[level]]
        ]
    taking = [channel for channel in wanted if channel.takes(notice.severity, notice.sections)]
    return list({channel.name: channel for channel in taking}.values())

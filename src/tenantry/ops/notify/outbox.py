"""What is to be sent, by which channel, and when again. Pure: `now` comes in, and what was tried is told by `tried`.

A failed try is repeated after 5, 15 and 45 seconds, then each minute, for an hour. A page that has not gone out in 60 s goes to the
next channel of its level, then to those of the next level, while the first goes on trying; the first that succeeds ends it. A
message for those who read along goes to each of its channels by itself. What was sent is remembered by its key, so that a
restart sends nothing twice (after a crash between sending and writing it down, once more).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, field

from tenantry.ops.incidents import Notice

RETRY_SECONDS = (5.0, 15.0, 45.0)
THEN_EACH_SECONDS = 60.0
GIVE_UP_SECONDS = 3600.0
NEXT_CHANNEL_SECONDS = 60.0
MOST_DELIVERIES = 1000
"""Beyond it the oldest undelivered one is dropped, and counted as failed."""


class Try(Struct):
    """One channel of a delivery."""

    channel: str
    tries: int = 0
    next_at: float = 0.0
    is_under_way: bool = False


class Delivery(Struct):
    """One message on its way. Channels beyond the first are for when the ones before did not take it."""

    notice: Notice
    begun_at: float
    candidates: list[str]
    tries: list[Try] = field(default_factory=list[Try])

    @property
    def key(self) -> str:
        """The notice and its first channel: two channels that read along are two deliveries."""
        return f"{self.notice.key} {self.candidates[0] if self.notice.level is None else ''}"


class Sending(Struct, frozen=True):
    """To be done now: give the notice to the channel, and call `Outbox.tried`."""

    key: str
    channel: str
    notice: Notice


class Outbox:
    """Messages under way. `scale` shrinks all times alike, for drills."""

    def __init__(self, *, scale: float = 1.0) -> None:
        self.scale = scale
        self.deliveries: dict[str, Delivery] = {}
        self.sent: dict[str, float] = {}
        self.reached: dict[str, list[str]] = {}
        """By incident: the channels that took a page of it, in order; they hear of the end."""
        self.dropped = 0

    def add(self, notice: Notice, candidates: Sequence[str], now: float) -> None:
        """A message for these channels: of a page the first that takes it, of others every one. An end goes to whoever took a page."""
        if notice.level is not None and notice.is_over:
            self._end(notice, now)
        elif not candidates:
            return
        elif notice.level is not None:
            delivery = Delivery(notice, now, list(candidates))
            self._put(delivery, delivery.key)
        else:
            for channel in candidates:
                delivery = Delivery(notice, now, [channel])
                self._put(delivery, delivery.key)

    def _end(self, notice: Notice, now: float) -> None:
        """The end, to every channel that took a page of it, whoever is on call by now; a page that nobody took is not sent any more."""
        for key, delivery in list(self.deliveries.items()):
            is_page = delivery.notice.level is not None and delivery.notice.incident == notice.incident
            if is_page and not delivery.notice.is_over and not any(t.is_under_way for t in delivery.tries):
                del self.deliveries[key]
        for channel in self.reached.get(notice.incident, []):
            self._put(Delivery(notice, now, [channel]), f"{notice.key} {channel}")

    def _put(self, delivery: Delivery, key: str) -> None:
        if key in self.sent or key in self.deliveries:
            return
        while len(self.deliveries) >= MOST_DELIVERIES:
            self.deliveries.pop(next(iter(self.deliveries)))
            self.dropped += 1
        self.deliveries[key] = delivery

    def due(self, now: float) -> list[Sending]:
        """What is to be tried now; a channel that is being tried is not tried again for the same message."""
        found: list[Sending] = []
        for key, delivery in list(self.deliveries.items()):
            age = now - delivery.begun_at
            if age > GIVE_UP_SECONDS * self.scale and not any(t.is_under_way for t in delivery.tries):
                del self.deliveries[key]
                self.dropped += 1
                continue
            wanted = min(len(delivery.candidates), 1 + int(age // (NEXT_CHANNEL_SECONDS * self.scale)))
            while len(delivery.tries) < wanted:
                delivery.tries.append(Try(delivery.candidates[len(delivery.tries)]))
            for attempt in delivery.tries:
                if not attempt.is_under_way and attempt.next_at <= now:
                    attempt.is_under_way = True
                    found.append(Sending(key, attempt.channel, delivery.notice))
        return found

    def tried(self, sending: Sending, *, is_taken: bool, now: float) -> None:
        """What became of a try."""
        delivery = self.deliveries.get(sending.key)
        if delivery is None:
            return
        if is_taken:
            del self.deliveries[sending.key]
            self.sent[sending.key] = now
            if sending.notice.level is not None and not sending.notice.is_over:
                reached = self.reached.setdefault(sending.notice.incident, [])
                if sending.channel not in reached:
                    reached.append(sending.channel)
            return
        for attempt in delivery.tries:
            if attempt.channel == sending.channel:
                attempt.is_under_way = False
                attempt.tries += 1
                wait = RETRY_SECONDS[attempt.tries - 1] if attempt.tries <= len(RETRY_SECONDS) else THEN_EACH_SECONDS
                attempt.next_at = now + wait * self.scale

    def oldest_page_seconds(self, now: float) -> float:
        """How long the oldest message that is to wake somebody has been waiting; 0 without any."""
        waiting = (d for d in self.deliveries.values() if d.notice.level is not None and not d.notice.is_over)
        return max((now - delivery.begun_at for delivery in waiting), default=0.0)

    def forget(self, before: float, incidents: Sequence[str]) -> None:
        """Drop the memory of what was sent before that moment, and of incidents that are no more."""
        self.sent = {key: at for key, at in self.sent.items() if at >= before}
        self.reached = {incident: reached for incident, reached in self.reached.items() if incident in incidents}

    def restarted(self) -> None:
        """After a restart: what was under way is tried anew."""
        for delivery in self.deliveries.values():
            for attempt in delivery.tries:
                attempt.is_under_way = False

"""What was sampled in the last minutes: series of (time, value), asked as Prometheus would be. Pure: time comes in.

An instant value is the last sample, for five minutes after it (Prometheus' lookback); a series that ended has none at once. An
increase is the sum of rises between the samples in [now - window, now], where a fall counts as a restart from 0 (`promql.rises`); a
series with fewer than two samples there has none, and that it ended since does not matter. First per series, then summed. Samples
older than the longest window are dropped, so the memory is bounded by the series that the rules name.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from tenantry.ops.alerts import promql

ALMOST = 1e-6
"""Seconds: moments are sums of ticks, which are not exact where a tick is no whole number."""
LOOKBACK_SECONDS = 300.0
"""How long a missed sample is stood in for by the last one."""


class Series(Struct, frozen=True):
    """Which series: the metric's name and its labels, sorted by name."""

    metric: str
    labels: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, metric: str, labels: Mapping[str, str] | None = None) -> Series:
        """The series of a metric with these labels."""
        return cls(metric, tuple(sorted((labels or {}).items())))

    def has(self, labels: Mapping[str, str]) -> bool:
        """Whether every one of these labels is there with that value."""
        return all(pair in self.labels for pair in labels.items())


class Kept(Struct):
    """The samples of one series, oldest first; `is_over` when it was not there at the last successful sampling."""

    samples: deque[tuple[float, float]]
    is_over: bool = False


class History:
    """Samples of the series that rules look at. `scale` shrinks every duration alike (a tick of 1 s: 1/15)."""

    def __init__(self, metrics: Iterable[str], *, scale: float = 1.0, increase: promql.Increase = promql.rises) -> None:
        self.metrics = frozenset(metrics)
        self.increase_of = increase
        self.scale = scale
        self._kept: dict[Series, Kept] = {}

    def record(self, now: float, values: Mapping[Series, float | None]) -> None:
        """One sampling: None is a missed sample of a series that goes on; a series that is not named has ended.

        A sampling that failed as a whole is not recorded at all: then nothing is known, and nothing has ended.
        """
        for series, kept in self._kept.items():
            kept.is_over = series not in values
        for series, value in values.items():
            if series.metric not in self.metrics:
                continue
            kept = self._kept.get(series)
            if kept is None:
                kept = self._kept[series] = Kept(deque())
            if value is not None:
                kept.samples.append((now, value))
        self._forget(now)

    def _forget(self, now: float) -> None:
        oldest = now - LOOKBACK_SECONDS * self.scale - ALMOST
        for series, kept in list(self._kept.items()):
            while kept.samples and kept.samples[0][0] < oldest:
                kept.samples.popleft()
            if not kept.samples:
                del self._kept[series]

    def _found(self, metric: str, labels: Mapping[str, str]) -> Iterator[tuple[Series, Kept]]:
        return (pair for pair in self._kept.items() if pair[0].metric == metric and pair[0].has(labels))

    def values(self, now: float, metric: str, **labels: str) -> list[float]:
        """The value now of each series of the metric that has these labels."""
        oldest = now - LOOKBACK_SECONDS * self.scale - ALMOST
        return [
            kept.samples[-1][1]
            for _, kept in self._found(metric, labels)
            if not kept.is_over and kept.samples and kept.samples[-1][0] >= oldest
        ]

    def largest(self, now: float, metric: str) -> float | None:
        """The largest value now, or None without any."""
        return max(self.values(now, metric), default=None)

    def smallest(self, now: float, metric: str) -> float | None:
        """The smallest value now, or None without any."""
        return min(self.values(now, metric), default=None)

    def increase(self, now: float, window_seconds: float, metric: str, **labels: str) -> float | None:
        """How much the counters rose in the window, in sum; None if no series has two samples there."""
        rises = [rise for _, rise in self._rises(now, window_seconds, metric, labels)]
        return promql.total(rises) if rises else None

    def increases(self, now: float, window_seconds: float, metric: str, by: str) -> dict[str, float]:
        """The same, by the value of a label."""
        rises: dict[str, list[float]] = {}
        for series, rise in self._rises(now, window_seconds, metric, {}):
            rises.setdefault(dict(series.labels).get(by, ""), []).append(rise)
        return {value: promql.total(of_value) for value, of_value in rises.items()}

    def _rises(
        self, now: float, window_seconds: float, metric: str, labels: Mapping[str, str]
    ) -> Iterator[tuple[Series, float]]:
        start = now - window_seconds * self.scale
        for series, kept in self._found(metric, labels):
            within = [sample for sample in kept.samples if sample[0] >= start - ALMOST]
            rise = self.increase_of(within, start, now)
            if rise is not None:
                yield series, rise

    def dump(self) -> list[tuple[str, dict[str, str], bool, list[tuple[float, float]]]]:
        """Everything, for `load` after a restart."""
        return [(s.metric, dict(s.labels), k.is_over, list(k.samples)) for s, k in self._kept.items()]

    def load(
        self, dumped: Iterable[tuple[str, dict[str, str], bool, list[tuple[float, float]]]], *, shift: float = 0.0
    ) -> None:
        """Take what `dump` gave; `shift` is added to every time (after a reboot the clock starts anew)."""
        for metric, labels, is_over, samples in dumped:
            if metric in self.metrics:
                moved = deque((at + shift, value) for at, value in samples)
                self._kept[Series.of(metric, labels)] = Kept(moved, is_over)

"""Local servers that record what is sent to them, closed after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.ops.test_watch import Sink


@pytest.fixture
def sinks() -> Iterator[Callable[..., Sink]]:
    made: list[Sink] = []

    def make(status: int = 200) -> Sink:
        made.append(Sink(status))
        return made[-1]

    yield make
    for sink in made:
        sink.close()

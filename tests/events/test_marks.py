"""Ids of events as clients have them: the same everywhere, of one topic only, and nothing to be read or made up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.events.marks import Marks

PLACE = (123_456, -7, 3, bytes(range(16)))
INT8, INT4 = st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1)


@given(st.tuples(INT8, INT8, INT4, st.binary(min_size=16, max_size=16)), st.text("abcXYZ09_.:/-", min_size=1))
def test_every_place_is_read_as_it_was_written_by_whoever_knows_the_salt(
    place: tuple[int, int, int, bytes], topic: str
) -> None:
    text = Marks(b"s" * 32).write(topic, place)
    assert Marks(b"s" * 32).read(topic, text) == place
    assert Marks(b"t" * 32).read(topic, text) is None
    assert Marks(b"s" * 32).read(topic + "x", text) is None


def test_a_changed_id_is_none() -> None:
    marks = Marks(b"s" * 32)
    text = marks.write("t", PLACE)
    for at in range(len(text)):
        for letter in "AZaz09-_":
            changed = text[:at] + letter + text[at + 1 :]
            # The last letter carries bits that no byte has; what they say is nothing.
            assert marks.read("t", changed) == (PLACE if changed == text else None) or at == len(text) - 1


@pytest.mark.parametrize(
    "text",
    ["", "garbage", "é" * 70, "A" * 69, "A" * 70, "A" * 71, "=" * 70, " " * 70, "00000000-0000-0000-0000-000000000000"],
)
def test_what_never_was_one_is_none(text: str) -> None:
    assert Marks(b"s" * 32).read("t", text) is None


def test_neighbours_have_nothing_in_common() -> None:
    """Neither the transaction's number nor the time can be read from an id, nor how far two of them are apart."""
    marks = Marks(b"s" * 32)
    ids = [marks.write("t", (place, 0, 1, bytes(16))) for place in range(500)]
    assert len({text[:4] for text in ids}) > 490
    assert ids != sorted(ids)

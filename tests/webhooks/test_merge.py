"""Merging: whatever the order of the events, what is known in the end is the same, and is what the last ones said."""

from __future__ import annotations

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st
from quire.webhooks.event import Event
from quire.webhooks.merge import RowState

EVENTS = st.lists(
    st.builds(
        Event,
        stamp=st.tuples(st.sampled_from(["2013-03-01T12:00:00.000000Z", "2013-03-01T12:00:00.000001Z"]), st.text()),
        keys=st.just({"id": 1}),
        values=st.dictionaries(st.sampled_from("abc"), st.none() | st.integers()),
        deletes=st.just(False),
    )
    | st.builds(
        Event,
        stamp=st.tuples(st.just("2013-03-01T12:00:00.000000Z"), st.text()),
        keys=st.just({"id": 1}),
        values=st.just({}),
        deletes=st.just(True),
    ),
    max_size=8,
    unique_by=lambda event: event.stamp[1],
)


def merge(events: list[Event]) -> RowState:
    return reduce(RowState.merge, events, RowState())


@given(EVENTS, st.randoms(use_true_random=False))
def test_known_is_what_events_in_order_make(events: list[Event], random: object) -> None:
    row: dict[str, object] | None = None
    for event in sorted(events, key=lambda event: event.stamp):
        row = None if event.deletes else {**(row or {}), **event.values}
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    known = merge(shuffled)
    assert (known.exists, known.values) == (row is not None, row or {})
    assert known == merge(events)


@given(EVENTS)
def test_known_stored_and_read_again_is_the_same(events: list[Event]) -> None:
    known = merge(events)
    assert RowState.from_json(known.to_json()) == known


@given(EVENTS)
def test_event_taken_again_changes_nothing(events: list[Event]) -> None:
    """As after 30 days, when its id is forgotten."""
    known = merge(events)
    assert reduce(RowState.merge, events, known) == known


def test_nothing_is_known_of_a_new_record() -> None:
    assert RowState.from_json(None) == RowState()
    assert not RowState().exists

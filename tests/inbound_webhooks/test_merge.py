"""Merging events gives the same result in any order; in each column, the newest event's value wins."""

from __future__ import annotations

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st
from quire.inbound_webhooks.event import Event
from quire.inbound_webhooks.merge import RowState

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
def test_merge_in_any_order_matches_sequential_result(events: list[Event], random: object) -> None:
    row: dict[str, object] | None = None
    for event in sorted(events, key=lambda event: event.stamp):
        row = None if event.deletes else {**(row or {}), **event.values}
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    state = merge(shuffled)
    assert (state.exists, state.values) == (row is not None, row or {})
    assert state == merge(events)


@given(EVENTS)
def test_row_state_json_round_trip_is_identical(events: list[Event]) -> None:
    state = merge(events)
    assert RowState.from_json(state.to_json()) == state


@given(EVENTS)
def test_merge_repeated_events_changes_nothing(events: list[Event]) -> None:
    """An event that is repeated after 30 days, when its ID has been pruned, is merged again."""
    state = merge(events)
    assert reduce(RowState.merge, events, state) == state


def test_row_state_without_events_is_empty() -> None:
    assert RowState.from_json(None) == RowState()
    assert not RowState().exists

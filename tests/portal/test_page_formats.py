"""How the pages write things."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from quire.portal.page_formats import shown_age, shown_bytes, shown_plain, shown_range, shown_seconds

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (1_000, "1.0 KB"), (33_700, "33.7 KB"), (9_640_000, "9.6 MB"),
     (123_400_000, "123 MB"), (6_871_000_000, "6.9 GB"), (5e15, "5,000 TB")],
)  # fmt: skip
def test_shown_bytes_has_the_largest_unit_that_gives_one(size: float, shown: str) -> None:
    assert shown_bytes(size) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (60, "1 min"), (185, "3 min 5 s"), (7_200, "2 h"),
     (7_860, "2 h 11 min"), (86_400, "1 d"), (604_800, "7 d")],
)  # fmt: skip
def test_shown_seconds_has_two_units_at_most(seconds: float, shown: str) -> None:
    assert shown_seconds(seconds) == shown


@pytest.mark.parametrize(
    ("before", "shown"),
    [(0, "just now"), (59, "just now"), (60, "1 minute ago"), (7_300, "2 hours ago"), (86_400, "1 day ago"),
     (40 * 86_400, "1 month ago"), (800 * 86_400, "2 years ago"), (-30, "just now")],
)  # fmt: skip
def test_shown_age_has_one_unit(before: float, shown: str) -> None:
    assert shown_age(NOW - dt.timedelta(seconds=before), NOW) == shown


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [
        ("2013-01-01", "2013-12-31", "2013"),
        ("2013-02-01", "2013-02-28", "February 2013"),
        ("2013-03-15", "2013-03-15", "15 March 2013"),
        ("2013-03-01", "2013-03-30", "1 to 30 March 2013"),
        ("2013-01-01", "2013-03-31", "1 January to 31 March 2013"),
        ("2012-12-01", "2013-01-31", "1 December 2012 to 31 January 2013"),
        ("2012-01-01", "2013-12-31", "1 January 2012 to 31 December 2013"),
    ],
)
def test_shown_range_is_as_short_as_it_is_clear(start: str, end: str, shown: str) -> None:
    assert shown_range(dt.date.fromisoformat(start), dt.date.fromisoformat(end)) == shown


def test_shown_range_without_days_says_so() -> None:
    assert shown_range(None, None) == "days that it does not know"


@pytest.mark.parametrize(("value", "shown"), [(None, "all"), (True, "yes"), (12_345, "12345"), ("AA", "AA")])
def test_shown_plain_is_for_people(value: Any, shown: str) -> None:
    assert shown_plain(value) == shown

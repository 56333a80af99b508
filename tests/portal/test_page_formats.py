"""How the pages write things."""

from __future__ import annotations

import datetime as dt

import pytest
from quire.portal.page_formats import shown_age, shown_range

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


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

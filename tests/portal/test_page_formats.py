"""Tests how pages format ages and date ranges."""

from __future__ import annotations

import datetime as dt

import pytest
from quire.portal.page_formats import format_age, format_date_range, format_sentence

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("before", "text"),
    [(0, "just now"), (59, "just now"), (60, "1 minute ago"), (7_300, "2 hours ago"), (86_400, "1 day ago"),
     (40 * 86_400, "1 month ago"), (800 * 86_400, "2 years ago"), (-30, "just now")],
)  # fmt: skip
def test_format_age_uses_one_unit(before: float, text: str) -> None:
    assert format_age(NOW - dt.timedelta(seconds=before), NOW) == text


@pytest.mark.parametrize(
    ("start", "end", "text"),
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
def test_format_date_range_is_the_shortest_unambiguous_form(start: str, end: str, text: str) -> None:
    assert format_date_range(dt.date.fromisoformat(start), dt.date.fromisoformat(end)) == text


def test_format_date_range_without_days_is_empty() -> None:
    assert format_date_range(None, None) == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("start 2013-03-02 is after end 2013-03-01", "Start 2013-03-02 is after end 2013-03-01."),
        ("unknown parameter 'carier'; did you mean carrier?", "Unknown parameter 'carier'; did you mean carrier?"),
        ("flights_2013.xlsx is missing", "flights_2013.xlsx is missing."),
        ("events: no table x", "events: no table x."),
        ("Choose fewer days.", "Choose fewer days."),
    ],
)
def test_format_sentence_capitalizes_words_but_not_names(text: str, sentence: str) -> None:
    assert format_sentence(text) == sentence

"""Numbers, sizes, durations and times are formatted so that people can read them easily."""

from __future__ import annotations

import pytest
from quire.human_readable import (
    format_count,
    format_duration,
    format_parameter,
    format_period,
    format_size,
    format_time,
)


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (0, "row", "0 rows"),
        (1, "day", "1 day"),
        (2, "day", "2 days"),
        (27_004, "row", "27,004 rows"),
        (27_004, "", "27,004"),
    ],
)
def test_count_has_separators_and_the_correct_form_of_its_noun(count: int, noun: str, text: str) -> None:
    assert format_count(count, noun) == text


def test_count_of_an_irregular_noun_has_the_plural_given() -> None:
    assert [format_count(count, "entry", plural="entries") for count in (1, 2)] == ["1 entry", "2 entries"]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_950, "9.9 kB"),
        (33_700, "33.7 kB"),
        (99_949, "99.9 kB"),
        (99_950, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (9_640_000, "9.6 MB"),
        (123_400_000, "123 MB"),
        (435_000_000, "435 MB"),
        (5_123_000_000, "5.1 GB"),
        (6_871_000_000, "6.9 GB"),
        (5e15, "5,000 TB"),
    ],
)
def test_size_uses_the_largest_suitable_unit(size: float, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (5, "5 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (12.4, "12 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (200, "3 min 20 s"),
        (7_200, "2 h"),
        (7_860, "2 h 11 min"),
        (86_400, "1 day"),
        (90_000, "1 day 1 h"),
        (604_800, "7 days"),
    ],
)
def test_duration_uses_its_two_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "all"), (True, "yes"), (False, "no"), (12_345, "12345"), ("AA", "AA")]
)
def test_parameter_is_a_plain_word(value: object, text: str) -> None:
    assert format_parameter(value) == text


def test_time_has_neither_offset_nor_fraction() -> None:
    assert format_time("2013-01-31T23:59:59.123456+01:00") == "2013-01-31 23:59:59"
    assert format_time("2013-01-31") == "2013-01-31"
    assert format_time(None) == ""


def test_period_of_equal_times_is_one_time() -> None:
    assert format_period("2013-01-01", "2013-01-31") == "2013-01-01 to 2013-01-31"
    assert format_period("2013-01-01", "2013-01-01") == "2013-01-01"
    assert format_period(None, None) == ""

"""Date ranges and partitions have the same properties in every time zone, even on unusual days."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from quire.date_range import DatePartition, DateRange, Grain, complete_window, parse_date, zone, zone_names
from quire.errors import RangeError

ZONES = sorted(zone_names())
DAYS = st.dates(date(1900, 1, 1), date(2100, 12, 31))
MODERN_DAYS = st.dates(date(1971, 1, 1), date(2037, 12, 1))
LENGTHS = st.one_of(st.integers(0, 10), st.integers(0, 1500))


@st.composite
def date_ranges(draw: st.DrawFn) -> DateRange:
    start = draw(DAYS)
    return DateRange(start=start, end=start + timedelta(days=draw(LENGTHS)), timezone=draw(st.sampled_from(ZONES)))


def has_unusual_midnight(day: date, name: str) -> bool:
    """Returns whether clocks in a time zone skip or repeat midnight on a given day."""
    midnight = datetime.combine(day, time(), tzinfo=zone(name))
    return midnight.utcoffset() != midnight.replace(fold=1).utcoffset()


@given(date_ranges(), st.sampled_from(Grain))
def test_partitions_any_range_cover_every_day_once(whole: DateRange, grain: Grain) -> None:
    partitions = whole.partitions(grain)
    days = [
        partition.start + timedelta(days=number)
        for partition in partitions
        for number in range((partition.stop - partition.start).days)
    ]
    assert days == [whole.start + timedelta(days=n) for n in range((whole.end - whole.start).days + 1)]


@given(date_ranges(), st.sampled_from(Grain))
def test_partitions_any_range_meet_at_the_same_instant(whole: DateRange, grain: Grain) -> None:
    partitions = whole.partitions(grain)
    assert all(first.stops_at == second.starts_at for first, second in pairwise(partitions))
    assert all(partition.starts_at <= partition.stops_at for partition in partitions)


@given(date_ranges(), st.sampled_from(Grain))
def test_partitions_any_range_never_cross_a_border_of_the_grain(whole: DateRange, grain: Grain) -> None:
    for partition in whole.partitions(grain):
        assert grain.floor(partition.start) == grain.floor(partition.last_day)


@given(date_ranges(), date_ranges(), st.sampled_from(Grain))
@example(
    DateRange.parse("2013-01-01", "2013-01-31", "UTC"), DateRange.parse("2013-01-01", "2013-01-30", "UTC"), Grain.MONTH
)
def test_partitions_of_two_ranges_share_a_key_only_for_the_same_days(
    first: DateRange, second: DateRange, grain: Grain
) -> None:
    days_of: dict[str, tuple[date, date]] = {}
    for partition in (*first.partitions(grain), *second.partitions(grain)):
        assert days_of.setdefault(partition.key, (partition.start, partition.stop)) == (partition.start, partition.stop)


@given(date_ranges(), st.sampled_from(Grain))
def test_partition_key_says_both_dates_exactly_where_the_range_clips(whole: DateRange, grain: Grain) -> None:
    for partition in whole.partitions(grain):
        clipped = partition.start != grain.floor(partition.start) or partition.stop != grain.shift(partition.start, 1)
        assert (partition.key == f"{partition.start}_{partition.last_day}") is clipped


@given(MODERN_DAYS, st.times(), st.sampled_from(ZONES), st.sampled_from(Grain))
def test_partitions_hold_each_instant_on_its_own_local_day(day: date, clock: time, name: str, grain: Grain) -> None:
    assume(
        not any(has_unusual_midnight(candidate, name) for candidate in (day, day + timedelta(days=1)))
    )  # in the examples below
    instant = datetime.combine(day, clock, tzinfo=zone(name)).astimezone(UTC)
    around = DateRange(start=day - timedelta(days=40), end=day + timedelta(days=40), timezone=name)
    (holder,) = (part for part in around.partitions(grain) if part.starts_at <= instant < part.stops_at)
    assert holder.start <= day < holder.stop


@given(DAYS, st.sampled_from(Grain), st.integers(-200, 200))
def test_shift_there_and_back_is_the_floor(day: date, grain: Grain, count: int) -> None:
    assert grain.shift(grain.shift(day, count), -count) == grain.floor(day)


@given(
    st.integers(1, 30),
    st.sampled_from(Grain),
    DAYS,
    st.times(timezones=st.just(UTC)),
    st.sampled_from(ZONES),
)
def test_complete_window_is_whole_periods_and_the_last_that_ended(
    count: int, grain: Grain, day: date, clock: time, name: str
) -> None:
    before = datetime.combine(day, clock)
    window = complete_window(count, grain, before=before, timezone=name)
    today = before.astimezone(zone(name)).date()
    assert len(window.partitions(grain)) == count
    assert all("_" not in partition.key for partition in window.partitions(grain))
    assert window.end < today <= grain.shift(window.end + timedelta(days=1), 1)


@pytest.mark.parametrize(
    ("name", "day", "hours"),
    [
        ("America/New_York", "2013-03-10", 23),
        ("America/New_York", "2013-11-03", 25),
        ("America/New_York", "2013-07-01", 24),
        ("Australia/Lord_Howe", "2013-10-06", 23.5),
        ("Asia/Kathmandu", "2013-01-01", 24),
        ("America/Sao_Paulo", "2018-11-04", 23),  # this day has no midnight
        ("America/Havana", "2013-11-03", 25),  # this day has two midnights
        ("Pacific/Apia", "2011-12-30", 0),  # this day was skipped
    ],
)
def test_partition_of_an_unusual_day_is_as_long_as_the_day(name: str, day: str, hours: float) -> None:
    (partition,) = DateRange.parse(day, day, name).partitions(Grain.DAY)
    assert partition.stops_at - partition.starts_at == timedelta(hours=hours)


def test_partition_of_march_in_new_york_begins_in_winter_and_ends_in_summer_time() -> None:
    (march,) = DateRange.parse("2013-03-01", "2013-03-31", "America/New_York").partitions(Grain.MONTH)
    assert march == DatePartition(
        key="2013-03", start=date(2013, 3, 1), stop=date(2013, 4, 1), timezone="America/New_York"
    )
    assert march.starts_at == datetime(2013, 3, 1, 5, tzinfo=UTC)
    assert march.stops_at == datetime(2013, 4, 1, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "end", "grain", "keys"),
    [
        ("2012-02-29", "2012-02-29", Grain.DAY, ["2012-02-29"]),
        ("2012-02-01", "2012-02-29", Grain.MONTH, ["2012-02"]),
        ("2013-01-10", "2013-01-20", Grain.MONTH, ["2013-01-10_2013-01-20"]),
        ("2013-01-31", "2013-03-01", Grain.MONTH, ["2013-01-31_2013-01-31", "2013-02", "2013-03-01_2013-03-01"]),
        ("2012-12-31", "2013-01-06", Grain.WEEK, ["2013-W01"]),
        ("2012-12-30", "2012-12-31", Grain.WEEK, ["2012-12-30_2012-12-30", "2012-12-31_2012-12-31"]),
        ("2013-01-01", "2013-06-30", Grain.QUARTER, ["2013-Q1", "2013-Q2"]),
        ("2012-01-01", "2013-12-31", Grain.YEAR, ["2012", "2013"]),
        ("0476-09-01", "0476-09-30", Grain.MONTH, ["0476-09"]),
        ("9999-12-01", "9999-12-30", Grain.MONTH, ["9999-12-01_9999-12-30"]),
    ],
)
def test_partitions_known_ranges_have_these_keys(start: str, end: str, grain: Grain, keys: list[str]) -> None:
    assert [partition.key for partition in DateRange.parse(start, end, "UTC").partitions(grain)] == keys


@pytest.mark.parametrize(
    ("start", "end", "name", "message"),
    [
        ("2013-02-01", "2013-01-31", "UTC", "start 2013-02-01 is after end 2013-01-31"),
        ("2013-02-30", "2013-03-01", "UTC", "start is '2013-02-30': write a calendar date as YYYY-MM-DD"),
        ("2013-01-01", "31.01.2013", "UTC", "end is '31.01.2013'"),
        ("2013-01-01", "20130131", "UTC", "end is '20130131'"),
        ("2013-01-01", "2013-W05-4", "UTC", "end is '2013-W05-4'"),
        ("2013-01-01T00:00", "2013-01-31", "UTC", "start is '2013-01-01T00:00'"),
        ("", "2013-01-31", "UTC", "start is ''"),
        ("２０１３-01-01", "2013-01-31", "UTC", "start is"),  # noqa: RUF001 - digits, but not ASCII
        ("2013-01-01", "9999-12-31", "UTC", "end 9999-12-31 is too late: the last possible day is 9999-12-30"),
        ("2013-01-01", "2013-01-31", "America/NewYork", "unknown time zone 'America/NewYork'"),
        ("2013-01-01", "2013-01-31", "../etc/passwd", "unknown time zone"),
        ("2013-01-01", "2013-01-31", "", "unknown time zone ''"),
    ],
)
def test_invalid_date_range_is_rejected_in_one_line(start: str, end: str, name: str, message: str) -> None:
    with pytest.raises(RangeError) as caught:
        DateRange.parse(start, end, name)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 2


def test_partition_before_the_calendar_in_utc_is_rejected() -> None:
    (first,) = DateRange.parse("0001-01-01", "0001-01-01", "Asia/Tokyo").partitions(Grain.DAY)
    with pytest.raises(RangeError, match="outside the years 1 to 9999"):
        _ = first.starts_at


def test_window_longer_than_the_calendar_is_rejected() -> None:
    with pytest.raises(RangeError, match="outside the years 1 to 9999"):
        complete_window(9999, Grain.YEAR, before=datetime(2013, 1, 1, tzinfo=UTC), timezone="UTC")


@pytest.mark.parametrize(
    ("before", "name", "grain"),
    [
        ("0001-01-01T00:00:00Z", "UTC", Grain.DAY),
        ("0001-01-01T00:00:00Z", "America/New_York", Grain.YEAR),
        ("9999-12-31T23:59:59Z", "Asia/Tokyo", Grain.MONTH),
    ],
)
def test_window_before_an_extreme_instant_is_rejected(before: str, name: str, grain: Grain) -> None:
    with pytest.raises(RangeError, match="outside the years 1 to 9999"):
        complete_window(1, grain, before=datetime.fromisoformat(before), timezone=name)


@given(st.dates())
def test_parse_date_is_the_inverse_of_isoformat(day: date) -> None:
    assert parse_date(day.isoformat(), name="start") == day


@pytest.mark.parametrize(
    ("start", "end", "grain", "message"),
    [
        ("1900-01-01", "2020-12-31", Grain.DAY, "The date range has 44,195 days; a run allows at most 20,000"),
        ("0203-01-01", "2013-01-31", Grain.WEEK, "The date range has 94,447 weeks; a run allows at most 20,000"),
        ("0001-01-01", "9999-12-30", Grain.MONTH, "The date range has 119,988 months; a run allows at most 20,000"),
    ],
)
def test_date_range_with_too_many_partitions_is_rejected_with_both_counts(
    start: str, end: str, grain: Grain, message: str
) -> None:
    with pytest.raises(RangeError) as caught:
        DateRange.parse(start, end, "UTC").partitions(grain)
    assert str(caught.value) == message


@given(st.dates(date(1800, 1, 1), date(1830, 1, 1)), st.integers(0, 5000), st.sampled_from(Grain))
def test_grain_periods_is_the_number_of_partitions(start: date, days: int, grain: Grain) -> None:
    end = start + timedelta(days=days)
    assert grain.periods(start, end) == len(DateRange(start=start, end=end, timezone="UTC").partitions(grain))

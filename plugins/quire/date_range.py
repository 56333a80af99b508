"""Defines date ranges in a time zone and divides them into partitions.

Readers enter inclusive dates; internally, ranges are half-open. A day starts at its first timestamp in the report's
time zone. Days of 23 or 25 hours, and the rare day that a time zone skips entirely, therefore need no special case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cache
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from quire.errors import RangeError, short_repr

MAX_PARTITIONS = 20_000  # about 55 years of daily partitions; each partition requires a query and an object
ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class Grain(StrEnum):
    """The length of a partition or window. Weeks begin on Monday (ISO 8601)."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"

    def floor(self, day: date) -> date:
        """Returns the first day of the period that contains ``day``."""
        match self:
            case Grain.DAY:
                return day
            case Grain.WEEK:
                return day - timedelta(days=day.weekday())
            case Grain.MONTH:
                return day.replace(day=1)
            case Grain.QUARTER:
                return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
            case Grain.YEAR:
                return day.replace(month=1, day=1)

    def shift(self, day: date, count: int) -> date:
        """Returns the first day of the period that begins ``count`` periods after the one that contains ``day``.

        Raises:
            RangeError: the result is outside the years 1 to 9999.
        """
        start = self.floor(day)
        try:
            if self in (Grain.DAY, Grain.WEEK):
                return start + timedelta(days=count * (7 if self is Grain.WEEK else 1))
            months = count * {Grain.MONTH: 1, Grain.QUARTER: 3, Grain.YEAR: 12}[self]
            years, month = divmod(start.month - 1 + months, 12)
            return start.replace(year=start.year + years, month=month + 1)
        except (OverflowError, ValueError) as error:
            raise RangeError(f"{count} {self.value}s from {day} is outside the years 1 to 9999") from error

    def periods(self, first: date, last: date) -> int:
        """Returns the number of periods that contain at least one day from ``first`` to ``last``."""
        if self in (Grain.DAY, Grain.WEEK):
            return (self.floor(last) - self.floor(first)).days // MAX_DAYS[self] + 1
        months = {Grain.MONTH: 1, Grain.QUARTER: 3, Grain.YEAR: 12}[self]
        return (last.year * 12 + last.month - 1) // months - (first.year * 12 + first.month - 1) // months + 1

    def key(self, start: date) -> str:
        """Returns the name of the period that begins on ``start``, such as ``2013-01``, ``2013-W05`` or ``2013-Q1``."""
        match self:
            case Grain.DAY:
                return start.isoformat()
            case Grain.WEEK:
                year, week, _ = start.isocalendar()
                return f"{year:04d}-W{week:02d}"
            case Grain.MONTH:
                return f"{start.year:04d}-{start.month:02d}"
            case Grain.QUARTER:
                return f"{start.year:04d}-Q{(start.month + 2) // 3}"
            case Grain.YEAR:
                return f"{start.year:04d}"


# The maximum number of days in a period.
MAX_DAYS = {Grain.DAY: 1, Grain.WEEK: 7, Grain.MONTH: 31, Grain.QUARTER: 92, Grain.YEAR: 366}


@cache
def zone_names() -> frozenset[str]:
    """Returns all IANA time zone names, cached because Python reads hundreds of files to find them."""
    return frozenset(available_timezones())


@cache
def zone(name: str) -> ZoneInfo:
    """Returns the IANA time zone with the given name.

    Raises:
        RangeError: the time zone is unknown.
    """
    try:
        if name not in zone_names():
            raise ZoneInfoNotFoundError(name)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise RangeError(f"unknown time zone {name!r}: use an IANA name such as Europe/Berlin") from error


def parse_date(text: str, *, name: str) -> date:
    """Parses a date in the format ``YYYY-MM-DD``. An error message refers to the value as ``name``.

    Raises:
        RangeError: the text is not a date in this format.
    """
    try:
        if not ISO_DATE.fullmatch(text):
            raise ValueError(text)
        return date.fromisoformat(text)
    except ValueError as error:
        raise RangeError(
            f"{name} is {short_repr(text)}: write a calendar date as YYYY-MM-DD, such as 2013-01-31"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class DatePartition:
    """The days from ``start`` up to, but excluding, ``stop`` in ``timezone``.

    ``key`` is the name of a complete period (``2013-01``), or the first and last day of a period that the date range
    clips (``2013-01-10_2013-01-20``). A clipped period therefore never has the complete period's key.
    """

    key: str
    start: date
    stop: date
    timezone: str

    @property
    def starts_at(self) -> datetime:
        """The UTC time at which ``start`` begins."""
        return start_of_day(self.start, self.timezone)

    @property
    def stops_at(self) -> datetime:
        """The UTC time at which ``stop`` begins."""
        return start_of_day(self.stop, self.timezone)

    @property
    def day_count(self) -> int:
        """Number of days."""
        return (self.stop - self.start).days

    @property
    def last_day(self) -> date:
        """The partition's last day."""
        return self.stop - timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DateRange:
    """The days from ``start`` to ``end``, both inclusive, in ``timezone``."""

    start: date
    end: date
    timezone: str

    def __post_init__(self) -> None:
        zone(self.timezone)
        if self.start > self.end:
            raise RangeError(f"start {self.start} is after end {self.end}")
        if self.end == date.max:
            raise RangeError(f"end {self.end} is too late: the last possible day is 9999-12-30")

    @property
    def day_count(self) -> int:
        """The number of days."""
        return (self.end - self.start).days + 1

    @classmethod
    def parse(cls, start: str, end: str, timezone: str) -> Self:
        """Parses two inclusive dates.

        Raises:
            RangeError: a date cannot be parsed, start is after end, or the time zone is unknown.
        """
        return cls(start=parse_date(start, name="start"), end=parse_date(end, name="end"), timezone=timezone)

    def ensure_partitionable(self, grain: Grain) -> None:
        """Checks the number of partitions without creating any.

        Raises:
            RangeError: the range has more than ``MAX_PARTITIONS`` partitions.
        """
        count = grain.periods(self.start, self.end)
        if count > MAX_PARTITIONS:
            raise RangeError(f"The date range has {count:,} {grain}s; a run allows at most {MAX_PARTITIONS:,}")

    def as_partition(self) -> DatePartition:
        """Returns the entire range as one partition."""
        return DatePartition(key="all", start=self.start, stop=self.end + timedelta(days=1), timezone=self.timezone)

    def partitions(self, grain: Grain) -> tuple[DatePartition, ...]:
        """Splits the range at period boundaries into ordered partitions. Each day is in exactly one partition.

        Raises:
            RangeError: the range has more than ``MAX_PARTITIONS`` partitions, for example because a year was mistyped.
        """
        self.ensure_partitionable(grain)
        partitions: list[DatePartition] = []
        range_stop = self.end + timedelta(days=1)
        start = self.start
        while start < range_stop:
            try:
                period_stop = grain.shift(start, 1)
            except RangeError:  # the period extends past the year 9999, so the range clips it
                period_stop = None
            stop = min(period_stop or range_stop, range_stop)
            is_complete = start == grain.floor(start) and stop == period_stop
            key = grain.key(start) if is_complete else f"{start}_{stop - timedelta(days=1)}"
            partitions.append(DatePartition(key=key, start=start, stop=stop, timezone=self.timezone))
            start = stop
        return tuple(partitions)


def start_of_day(day: date, timezone: str) -> datetime:
    """Returns the UTC time at which a local day begins.

    If clocks skip midnight, ``fold=0`` yields the time at which they change. If midnight occurs twice, ``fold=0``
    yields its first occurrence.

    Raises:
        RangeError: the UTC time is in the year 0 or 10000.
    """
    try:
        return datetime.combine(day, time(), tzinfo=zone(timezone)).astimezone(UTC)
    except OverflowError as error:
        raise RangeError(f"the start of {day} in {timezone} is outside the years 1 to 9999") from error


def complete_window(count: int, grain: Grain, *, before: datetime, timezone: str) -> DateRange:
    """Returns the last ``count`` complete periods in ``timezone`` that have ended by ``before``.

    Args:
        count: the number of periods, at least 1.
        grain: each period's length.
        before: a timezone-aware time. For a scheduled run, pass its ``run_after``, never the current time.
        timezone: the time zone that determines when days begin.

    Raises:
        RangeError: the window or the local day of ``before`` is outside the years 1 to 9999.
    """
    try:
        stop = grain.floor(before.astimezone(zone(timezone)).date())
        end = stop - timedelta(days=1)
    except OverflowError as error:
        raise RangeError(f"the {grain.value}s before {before.isoformat()} are outside the years 1 to 9999") from error
    return DateRange(start=grain.shift(stop, -count), end=end, timezone=timezone)

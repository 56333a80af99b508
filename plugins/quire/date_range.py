"""Date ranges and their partitions in a time zone.

Readers enter inclusive dates; internally, ranges are half-open. A day starts at its first timestamp in the report's
time zone, so days of 23 or 25 hours, and the rare day that a zone skips entirely, need no special case.
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

MAX_PARTITIONS = 20_000  # half a century of days; each partition is one query and one object
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
        """Returns the first day of the period ``count`` periods after the one that contains ``day``.

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
            raise RangeError(f"{count} {self.value}s from {day} is outside the calendar") from error

    def periods(self, first: date, last: date) -> int:
        """Returns how many periods the days from ``first`` to ``last`` span."""
        if self in (Grain.DAY, Grain.WEEK):
            return (self.floor(last) - self.floor(first)).days // MAX_DAYS[self] + 1
        months = {Grain.MONTH: 1, Grain.QUARTER: 3, Grain.YEAR: 12}[self]
        return (last.year * 12 + last.month - 1) // months - (first.year * 12 + first.month - 1) // months + 1

    def key(self, start: date) -> str:
        """Returns the name of the period that begins on ``start``: ``2013-01``, ``2013-W05``, ``2013-Q1``."""
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


MAX_DAYS = {Grain.DAY: 1, Grain.WEEK: 7, Grain.MONTH: 31, Grain.QUARTER: 92, Grain.YEAR: 366}  # of one period


@cache
def zone(name: str) -> ZoneInfo:
    """Returns the IANA time zone ``name``.

    Raises:
        RangeError: the zone is unknown.
    """
    try:
        if name not in available_timezones():
            raise ZoneInfoNotFoundError(name)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise RangeError(f"unknown time zone {name!r}: use an IANA name such as Europe/Berlin") from error


def parse_date(text: str, *, name: str) -> date:
    """Parses a date written as ``YYYY-MM-DD``; the error message calls the value ``name``.

    Raises:
        RangeError: the text is not a date in that format.
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
    clips (``2013-01-10_2013-01-20``): a clipped period never shares a key with the complete period.
    """

    key: str
    start: date
    stop: date
    timezone: str

    @property
    def starts_at(self) -> datetime:
        """The time at which ``start`` begins, in UTC."""
        return start_of_day(self.start, self.timezone)

    @property
    def stops_at(self) -> datetime:
        """The time at which ``stop`` begins, in UTC."""
        return start_of_day(self.stop, self.timezone)

    @property
    def last_day(self) -> date:
        """The last day, inclusive."""
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
            raise RangeError(f"end {self.end} is outside the calendar")

    @property
    def day_count(self) -> int:
        """Number of days."""
        return (self.end - self.start).days + 1

    @classmethod
    def parse(cls, start: str, end: str, timezone: str) -> Self:
        """Parses two inclusive dates.

        Raises:
            RangeError: a date cannot be parsed, start is after end, or the zone is unknown.
        """
        return cls(start=parse_date(start, name="start"), end=parse_date(end, name="end"), timezone=timezone)

    def ensure_partitionable(self, grain: Grain) -> None:
        """Checks the number of partitions without creating them.

        Raises:
            RangeError: there would be more than ``MAX_PARTITIONS``.
        """
        count = grain.periods(self.start, self.end)
        if count > MAX_PARTITIONS:
            raise RangeError(f"The date range has {count:,} {grain}s; a run allows at most {MAX_PARTITIONS:,}")

    def partitions(self, grain: Grain) -> tuple[DatePartition, ...]:
        """Splits the range at period boundaries, in order; every day is in exactly one partition.

        Raises:
            RangeError: there would be more than ``MAX_PARTITIONS``, for example after a mistyped year.
        """
        self.ensure_partitionable(grain)
        partitions: list[DatePartition] = []
        range_stop = self.end + timedelta(days=1)
        start = self.start
        while start < range_stop:
            try:
                period_stop = grain.shift(start, 1)
            except RangeError:  # the period extends past the year 9999: the range clips it
                period_stop = None
            stop = min(period_stop or range_stop, range_stop)
            is_complete = start == grain.floor(start) and stop == period_stop
            key = grain.key(start) if is_complete else f"{start}_{stop - timedelta(days=1)}"
            partitions.append(DatePartition(key=key, start=start, stop=stop, timezone=self.timezone))
            start = stop
        return tuple(partitions)


def start_of_day(day: date, timezone: str) -> datetime:
    """Returns the time at which a local day begins, in UTC.

    If clocks skip midnight, ``fold=0`` yields the time of the change; if midnight occurs twice, it yields the first
    occurrence.

    Raises:
        RangeError: the result is in the year 0 or 10000 in UTC.
    """
    try:
        return datetime.combine(day, time(), tzinfo=zone(timezone)).astimezone(UTC)
    except OverflowError as error:
        raise RangeError(f"the start of {day} in {timezone} is outside the calendar") from error


def complete_window(count: int, grain: Grain, *, before: datetime, timezone: str) -> DateRange:
    """Returns the last ``count`` complete periods that have ended by the time ``before`` in ``timezone``.

    Args:
        count: number of periods, at least 1.
        grain: their length.
        before: timezone-aware; a scheduled run's ``run_after``, never the current time.
        timezone: the zone that defines the days.

    Raises:
        RangeError: the window, or the local day of ``before``, is outside the years 1 to 9999.
    """
    try:
        stop = grain.floor(before.astimezone(zone(timezone)).date())
        end = stop - timedelta(days=1)
    except OverflowError as error:
        raise RangeError(f"the {grain.value}s before {before.isoformat()} are outside the calendar") from error
    return DateRange(start=grain.shift(stop, -count), end=end, timezone=timezone)

"""Date ranges and their partitions, in a time zone.

Readers give inclusive dates; everything inside is half-open. A day begins at its first instant in the report's
zone, so days of 23 and 25 hours, and the rare day that a zone skips altogether, need no special case.
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

MAX_PARTITIONS = 20_000  # days of half a century; each is an object, and a query
ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class Grain(StrEnum):
    """The length of a partition or window. Weeks begin on Monday (ISO 8601)."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"

    def floor(self, day: date) -> date:
        """Returns the first day of the period that ``day`` lies in."""
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
        """Returns the first day of the period ``count`` periods after the one of ``day``.

        Raises:
            RangeError: the calendar ends at the years 1 and 9999.
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
        """Returns how many periods the days from ``first`` to ``last`` lie in."""
        if self in (Grain.DAY, Grain.WEEK):
            return (self.floor(last) - self.floor(first)).days // MAX_DAYS[self] + 1
        months = {Grain.MONTH: 1, Grain.QUARTER: 3, Grain.YEAR: 12}[self]
        return (last.year * 12 + last.month - 1) // months - (first.year * 12 + first.month - 1) // months + 1

    def key(self, start: date) -> str:
        """Returns the name of the whole period that begins on ``start``: ``2013-01``, ``2013-W05``, ``2013-Q1``."""
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
    """Returns the IANA time zone called ``name``.

    Raises:
        RangeError: there is no such zone.
    """
    try:
        if name not in available_timezones():
            raise ZoneInfoNotFoundError(name)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise RangeError(f"unknown time zone {name!r}: use an IANA name such as Europe/Berlin") from error


def parse_date(text: str, *, name: str) -> date:
    """Returns the date written as ``YYYY-MM-DD``; ``name`` says in the error whose value was wrong.

    Raises:
        RangeError: the text is not such a date.
    """
    try:
        if not ISO_DATE.fullmatch(text):
            raise ValueError(text)
        return date.fromisoformat(text)
    except ValueError as error:
        raise RangeError(
            f"{name} is {short_repr(text)}: write a calendar date as YYYY-MM-DD, like 2013-01-31"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class DatePartition:
    """Whole days from ``start`` until before ``stop``, local to ``timezone``.

    ``key`` names it: the period's own name (``2013-01``) where it is a whole one, both dates where the range
    clipped it (``2013-01-10_2013-01-20``), so that a part is never taken for the whole.
    """

    key: str
    start: date
    stop: date
    timezone: str

    @property
    def starts_at(self) -> datetime:
        """The first instant of ``start``, aware, in UTC."""
        return start_of_day(self.start, self.timezone)

    @property
    def stops_at(self) -> datetime:
        """The first instant of ``stop``, aware, in UTC."""
        return start_of_day(self.stop, self.timezone)

    @property
    def last_day(self) -> date:
        """The last day inside, as readers write it."""
        return self.stop - timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DateRange:
    """Days from ``start`` to ``end``, both included, local to ``timezone``."""

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
        """How many days the range has."""
        return (self.end - self.start).days + 1

    @classmethod
    def parse(cls, start: str, end: str, timezone: str) -> Self:
        """Reads two inclusive dates.

        Raises:
            RangeError: one does not parse, start is after end, or the zone is unknown.
        """
        return cls(start=parse_date(start, name="start"), end=parse_date(end, name="end"), timezone=timezone)

    def ensure_partitionable(self, grain: Grain) -> None:
        """Checks the number of partitions without building them.

        Raises:
            RangeError: there would be more than ``MAX_PARTITIONS``.
        """
        count = grain.periods(self.start, self.end)
        if count > MAX_PARTITIONS:
            raise RangeError(f"At most {MAX_PARTITIONS:,} {grain}s at once; this is {count:,}")

    def partitions(self, grain: Grain) -> tuple[DatePartition, ...]:
        """Splits the range at the grain's borders: every day in exactly one partition, in order.

        Raises:
            RangeError: there would be more than ``MAX_PARTITIONS``, as with a mistyped year.
        """
        self.ensure_partitionable(grain)
        found: list[DatePartition] = []
        stop_of_range = self.end + timedelta(days=1)
        start = self.start
        while start < stop_of_range:
            try:
                whole_stop = grain.shift(start, 1)
            except RangeError:  # the period reaches past the year 9999, so the range clips it
                whole_stop = None
            stop = min(whole_stop or stop_of_range, stop_of_range)
            whole = start == grain.floor(start) and stop == whole_stop
            key = grain.key(start) if whole else f"{start}_{stop - timedelta(days=1)}"
            found.append(DatePartition(key=key, start=start, stop=stop, timezone=self.timezone))
            start = stop
        return tuple(found)


def start_of_day(day: date, timezone: str) -> datetime:
    """Returns the first instant of a local day, in UTC.

    Where clocks jump over midnight, ``fold=0`` gives the instant of the jump; where midnight comes twice, the first.

    Raises:
        RangeError: it lies in the year 0 or 10000 in UTC.
    """
    try:
        return datetime.combine(day, time(), tzinfo=zone(timezone)).astimezone(UTC)
    except OverflowError as error:
        raise RangeError(f"the beginning of {day} in {timezone} is outside the calendar") from error


def complete_window(count: int, grain: Grain, *, before: datetime, timezone: str) -> DateRange:
    """Returns the last ``count`` whole periods that have ended at the instant ``before``, in ``timezone``.

    Args:
        count: how many periods, at least 1.
        grain: their length.
        before: an aware instant: a scheduled run's ``run_after``, never the clock.
        timezone: the zone whose days count.

    Raises:
        RangeError: the window or the instant's local day lies outside the years 1 to 9999.
    """
    try:
        stop = grain.floor(before.astimezone(zone(timezone)).date())
        end = stop - timedelta(days=1)
    except OverflowError as error:
        raise RangeError(f"the {grain.value}s before {before.isoformat()} are outside the calendar") from error
    return DateRange(start=grain.shift(stop, -count), end=end, timezone=timezone)

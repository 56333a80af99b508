"""Converts dates and times that Python or Excel cannot represent, such as years BC, years after 9999, and infinity.

As in Arrow, values are integers: days or microseconds since 1970-01-01. The Gregorian calendar, including its weekdays,
repeats every 400 years. This module therefore calculates dates in a year that Python supports, and then shifts them by
whole cycles.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

SECOND = 1_000_000
DAY_MICROSECONDS = 86_400 * SECOND
CYCLE_YEARS, CYCLE_DAYS = 400, 146_097
YEAR_1, YEAR_10000 = -62_135_596_800 * SECOND, 253_402_300_800 * SECOND
# Infinity and -infinity are the type's largest and smallest integers. For 64 bits, the second-smallest integer is also
# -infinity, because NumPy and pandas read the smallest integer as NaT.
DAYS_BOUNDS = (-(2**31), 2**31 - 1)
MICROSECONDS_BOUNDS = (-(2**63) + 1, 2**63 - 1)
INFINITE_DAYS = {DAYS_BOUNDS[0]: "-infinity", DAYS_BOUNDS[1]: "infinity"}
INFINITE_MICROSECONDS = {-(2**63): "-infinity", MICROSECONDS_BOUNDS[0]: "-infinity", MICROSECONDS_BOUNDS[1]: "infinity"}
END_OF_DAY = "24:00:00"
_EPOCH = date(1970, 1, 1)
_EPOCH_TIME = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class UnrepresentableDate:
    """A date or time that a writer stores as text.

    Args:
        physical: days or microseconds since 1970-01-01; for a time of day, microseconds since midnight.
        text: the value as PostgreSQL prints it.
    """

    physical: int
    text: str

    @property
    def is_later(self) -> bool:
        """Whether the value is later than every date that Excel can represent; otherwise, it is earlier."""
        return self.physical > 0


def to_python_date(days: int) -> tuple[date, int]:
    """Returns the same day in a year from 1970 to 2369, and the number of 400-year cycles between the two dates."""
    cycles, rest = divmod(days, CYCLE_DAYS)
    return _EPOCH + timedelta(days=rest), cycles


def days_since_epoch(year: int, month: int, day: int) -> int:
    """Returns a proleptic Gregorian date as days since 1970-01-01.

    Args:
        year: the astronomical year, in which 0 is 1 BC.
        month: the month, from 1 to 12.
        day: the day of the month, from 1.

    Raises:
        ValueError: the calendar has no such date.
    """
    cycles, year_of_cycle = divmod(year, CYCLE_YEARS)
    return (date(year_of_cycle + CYCLE_YEARS, month, day) - _EPOCH).days + (cycles - 1) * CYCLE_DAYS


def date_text(days: int) -> str:
    """Returns a date as PostgreSQL prints it, such as ``0044-03-15 BC``."""
    if days in INFINITE_DAYS:
        return INFINITE_DAYS[days]
    day, era = _date_and_era(days)
    return day + era


def timestamp_text(microseconds: int, timezone: str | None) -> str:
    """Returns a timestamp as PostgreSQL prints it.

    Args:
        microseconds: the microseconds since 1970-01-01, in UTC if ``timezone`` is set, otherwise in local time.
        timezone: the session time zone's IANA name, or None for a timestamp without time zone.
    """
    if microseconds in INFINITE_MICROSECONDS:
        return INFINITE_MICROSECONDS[microseconds]
    offset = utc_offset(microseconds, timezone) if timezone else 0
    days, rest = divmod(microseconds + offset, DAY_MICROSECONDS)
    seconds, fraction = divmod(rest, SECOND)
    day, era = _date_and_era(days)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    if fraction:
        clock += f".{fraction:06d}".rstrip("0")
    return f"{day} {clock}{offset_text(offset) if timezone else ''}{era}"


def offset_text(microseconds: int) -> str:
    """Formats a UTC offset, such as ``+01``; includes minutes and seconds only if they are not zero."""
    seconds = abs(microseconds) // SECOND
    parts = [seconds // 3600, seconds // 60 % 60, seconds % 60]
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return ("-" if microseconds < 0 else "+") + ":".join(f"{part:02d}" for part in parts)


def utc_offset(microseconds: int, timezone: str) -> int:
    """Returns a time zone's UTC offset at a given time, both in microseconds.

    For times before year 1, returns the offset of local mean time; for times after year 9999, returns the offset at the
    same time in an earlier cycle.
    """
    time = max(microseconds, YEAR_1 + DAY_MICROSECONDS)
    last = YEAR_10000 - DAY_MICROSECONDS
    if time >= last:
        cycle = CYCLE_DAYS * DAY_MICROSECONDS
        time = last - cycle + (time - last) % cycle
    offset = (_EPOCH_TIME + timedelta(microseconds=time)).astimezone(ZoneInfo(timezone)).utcoffset()
    return (offset or timedelta()) // timedelta(microseconds=1)


def _date_and_era(days: int) -> tuple[str, str]:
    day, cycles = to_python_date(days)
    year = day.year + CYCLE_YEARS * cycles
    era = "" if year > 0 else " BC"
    return f"{year if year > 0 else 1 - year:04d}-{day.month:02d}-{day.day:02d}", era

"""Dates that Excel has not, as PostgreSQL prints them: before March 1900, after 9999, BC, infinity."""

from __future__ import annotations

from dataclasses import dataclass

from quire.values.wall_clock import DAY_MICROSECONDS, INFINITE, offset_at

# Readers round to the millisecond: later times of a day would become its midnight.
LAST_MILLISECOND = DAY_MICROSECONDS - 1000
_INFINITE_DAYS = {2**31 - 1: "infinity", -(2**31): "-infinity"}
_INFINITE_MICROSECONDS = dict(zip(INFINITE, ("infinity", "-infinity", "-infinity"), strict=True))


@dataclass(frozen=True, slots=True)
class UnrepresentableDate:
    """The least or the most of a column's dates that Excel has not.

    Args:
        physical: days or microseconds since 1970-01-01, or since midnight where it is a time of day.
        text: that stands in its cell.
    """

    physical: int
    text: str

    @property
    def is_later(self) -> bool:
        """Whether it is after all dates that Excel has, and not before them: 1970 is one of those."""
        return self.physical > 0


def date_text(days: int) -> str:
    """Returns a date given as days since 1970-01-01."""
    if days in _INFINITE_DAYS:
        return _INFINITE_DAYS[days]
    day, era = _calendar(days)
    return day + era


def timestamp_text(microseconds: int, timezone: str | None) -> str:
    """Returns an instant given as microseconds since 1970-01-01, UTC, or a wall clock's where there is no zone."""
    if microseconds in _INFINITE_MICROSECONDS:
        return _INFINITE_MICROSECONDS[microseconds]
    offset = offset_at(microseconds, timezone) if timezone else 0
    days, rest = divmod(microseconds + offset, DAY_MICROSECONDS)
    seconds, fraction = divmod(rest, 1_000_000)
    day, era = _calendar(days)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    if fraction:
        clock += f".{fraction:06d}".rstrip("0")
    return f"{day} {clock}{_shown(offset) if timezone else ''}{era}"


def _shown(offset: int) -> str:
    sign = "-" if offset < 0 else "+"
    seconds = abs(offset) // 1_000_000
    text = f"{sign}{seconds // 3600:02d}"
    if seconds % 3600:
        text += f":{seconds // 60 % 60:02d}"
    return f"{text}:{seconds % 60:02d}" if seconds % 60 else text


def _calendar(days: int) -> tuple[str, str]:
    """Returns year, month and day of the proleptic Gregorian calendar, and its era where that is BC.

    Years are shifted to begin in March, so that the leap day is the last; 400 years have 146,097 days.
    """
    cycle, day = divmod(days + 719_468, 146_097)
    year = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    month = month + 3 if month < 10 else month - 9
    year += 400 * cycle + (month <= 2)
    era = "" if year > 0 else " BC"
    return f"{year if year > 0 else 1 - year:04d}-{month:02d}-{day + 1:02d}", era

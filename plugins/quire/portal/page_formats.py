"""Formats ages and date ranges for the pages, and names the filters of their templates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta

from quire.formatting import format_count, format_duration, format_parameter, format_size, format_time

AGES = (("year", 31_557_600), ("month", 2_629_800), ("day", 86_400), ("hour", 3_600), ("minute", 60))


def shown_age(moment: datetime, now: datetime) -> str:
    """Returns how long ago something was: just now, 5 minutes ago."""
    seconds = (now - moment).total_seconds()
    for unit, length in AGES:
        count = int(seconds // length)
        if count > 0:
            return f"{format_count(count, unit)} ago"
    return "just now"


def shown_range(start: date | None, end: date | None) -> str:
    """Returns days as short as they are clear: 1 to 31 January 2013, 2013, 15 March 2013."""
    if start is None or end is None:
        return "days that it does not know"
    following = end + timedelta(days=1)
    if start.day == following.day == 1:
        if start.month == following.month == 1 and end.year == start.year:
            return f"{start:%Y}"
        if (start.year, start.month) == (end.year, end.month):
            return f"{start:%B %Y}"
    last = f"{end.day} {end:%B %Y}"
    if start == end:
        return last
    if (start.year, start.month) == (end.year, end.month):
        return f"{start.day} to {last}"
    if start.year == end.year:
        return f"{start.day} {start:%B} to {last}"
    return f"{start.day} {start:%B %Y} to {last}"


FILTERS: dict[str, Callable[..., str]] = {
    "number": format_count,
    "size": format_size,
    "duration": format_duration,
    "age": shown_age,
    "plain": format_parameter,
    "time": format_time,
}

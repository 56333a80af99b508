"""How the pages write sizes, durations, moments and addresses."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from quire.formatting import format_time

DURATIONS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
UNITS = ("bytes", "KB", "MB", "GB", "TB")
AGES = (("year", 31_557_600), ("month", 2_629_800), ("day", 86_400), ("hour", 3_600), ("minute", 60))


def shown_bytes(size: float) -> str:
    """Returns a size in the largest unit that gives at least one of it, by thousands: 1.3 MB."""
    unit = 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:,.0f} {UNITS[unit]}" if size >= 100 or not unit else f"{size:,.1f} {UNITS[unit]}"


def shown_seconds(seconds: float) -> str:
    """Returns a duration in its two largest units: 0.4 s, 12 s, 3 min 5 s, 2 h, 7 d."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for (unit, length), (smaller, part) in itertools.pairwise(DURATIONS):
        if whole >= length:
            rest = whole % length // part
            return f"{whole // length} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def shown_age(moment: datetime, now: datetime) -> str:
    """Returns how long ago something was: just now, 5 minutes ago."""
    seconds = (now - moment).total_seconds()
    for unit, length in AGES:
        count = int(seconds // length)
        if count > 0:
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
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


def shown_plain(value: Any) -> str:
    """Returns a parameter's value for people; without one, the report is of all."""
    if value is None:
        return "all"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


FILTERS: dict[str, Callable[..., str]] = {
    "size": shown_bytes,
    "duration": shown_seconds,
    "age": shown_age,
    "plain": shown_plain,
    "time": format_time,
}

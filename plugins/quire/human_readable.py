"""Formats values for people. The portal, the command line, notifications and workbooks share these functions."""

from __future__ import annotations

from itertools import pairwise

_LARGER_UNITS = ("kB", "MB", "GB", "TB")
_DURATION_UNITS = (("day", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def format_count(count: int, noun: str = "", *, plural: str = "") -> str:
    """Returns a number with thousands separators, followed by its noun: ``1 day``, ``27,004 rows``.

    Args:
        count: the number.
        noun: the singular noun; if empty, only the number is returned.
        plural: the plural noun; defaults to the singular with an "s" appended.
    """
    if not noun:
        return f"{count:,}"
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def format_size(size: float) -> str:
    """Returns a size in decimal units with three significant digits: ``999 bytes``, ``33.7 kB``, ``435 MB``."""
    unit = "bytes"
    for larger_unit in _LARGER_UNITS:
        if size < 999.5:
            break
        size, unit = size / 1000, larger_unit
    if unit == "bytes":
        return format_count(round(size), "byte")
    return f"{size:,.1f} {unit}" if size < 99.95 else f"{size:,.0f} {unit}"


def format_duration(seconds: float) -> str:
    """Returns a duration in its two largest units: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``1 day 2 h``."""
    if seconds < 9.95 and seconds != int(seconds):
        return f"{seconds:.1f} s"
    total = round(seconds)
    for (unit, length), (smaller_unit, smaller_length) in pairwise(_DURATION_UNITS):
        if total >= length:
            rest = total % length // smaller_length
            return _with_unit(total // length, unit) + (f" {_with_unit(rest, smaller_unit)}" if rest else "")
    return f"{total} s"


def _with_unit(count: int, unit: str) -> str:
    return format_count(count, unit) if unit == "day" else f"{count} {unit}"


def format_parameter(value: object) -> str:
    """Formats a report parameter's value. None, which selects all rows, becomes ``all``."""
    if value is None:
        return "all"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def format_time(text: str | None) -> str:
    """Formats an ISO 8601 date or time to the second, without its UTC offset: ``2013-01-31 23:59:59``."""
    return (text or "")[: len("2013-01-31T23:59:59")].replace("T", " ")


def format_period(earliest: str | None, latest: str | None) -> str:
    """Returns the earliest and latest times in a file, or an empty string if the file has no rows."""
    first, last = format_time(earliest), format_time(latest)
    return first if first == last else f"{first} to {last}"


def truncate(text: str, max_length: int) -> str:
    """Shortens a string to ``max_length`` characters. A shortened string ends with an ellipsis."""
    return text if len(text) <= max_length else f"{text[: max_length - 1].rstrip()}…"

"""Formats ages and date ranges for the pages, and defines the template filters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta

from quire.human_readable import format_count, format_duration, format_parameter, format_size, format_time

AGES = (("year", 31_557_600), ("month", 2_629_800), ("day", 86_400), ("hour", 3_600), ("minute", 60))


def format_age(time: datetime, now: datetime) -> str:
    """Describes how long ago a time was: ``just now`` or ``5 minutes ago``, for example."""
    seconds = (now - time).total_seconds()
    for unit, length in AGES:
        count = int(seconds // length)
        if count > 0:
            return f"{format_count(count, unit)} ago"
    return "just now"


def format_date_range(start: date | None, end: date | None) -> str:
    """Returns a date range's shortest unambiguous form, such as ``1 to 30 March 2013``; empty if it is unknown."""
    if start is None or end is None:
        return ""
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


def format_sentence(text: str) -> str:
    """Formats a message as a sentence, with a final period and, unless the first word is a name, a capital letter."""
    first_word = text.partition(" ")[0]
    capitalized = text[:1].upper() + text[1:] if first_word.isalpha() else text
    return capitalized if text.endswith((".", "!", "?", "…")) else f"{capitalized}."


FILTERS: dict[str, Callable[..., str]] = {
    "number": format_count,
    "size": format_size,
    "duration": format_duration,
    "age": format_age,
    "plain": format_parameter,
    "time": format_time,
    "sentence": format_sentence,
}

"""How values are written for people, wherever they read them."""

from __future__ import annotations


def format_time(text: str | None) -> str:
    """Returns an ISO 8601 date or date-time as a reader writes it, to the second and without its offset."""
    return (text or "")[: len("2013-01-31T23:59:59")].replace("T", " ")


def format_period(earliest: str | None, latest: str | None) -> str:
    """Returns the first and the last time of some rows; nothing where there are no rows."""
    first, last = format_time(earliest), format_time(latest)
    return first if first == last else f"{first} to {last}"

"""Formats dates and times according to a format code section."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from quire.number_formats.sections import Kind, Section, Token

EXCEL_EPOCH = dt.datetime(1899, 12, 30)  # noqa: DTZ001 - local time
_ELAPSED = {"h": 3600, "m": 60, "s": 1}


def format_date_time(section: Section, time: dt.datetime) -> str:
    """Formats a date and time according to a section."""
    tokens = section.tokens
    decimals = _second_decimals(tokens)
    if any(token.kind in (Kind.MOMENT, Kind.ELAPSED) and token.text[0] in "sS" for token in tokens):
        time = _round_seconds(time, decimals)
    has_noon = section.has(Kind.NOON)
    parts = []
    is_fraction = False
    for position, token in enumerate(tokens):
        if token.kind is Kind.POINT and decimals:
            fraction = f"{time.microsecond:06d}"[:decimals].ljust(decimals, "0")
            parts.append(f".{fraction}")
            is_fraction = True
        elif token.kind is Kind.DIGIT and is_fraction:
            continue
        else:
            is_fraction = False
            parts.append(_part(tokens, position, time, has_noon=has_noon))
    return "".join(parts)


def _part(tokens: Sequence[Token], position: int, time: dt.datetime, *, has_noon: bool) -> str:
    token = tokens[position]
    if token.kind is Kind.NOON:
        word = "AM" if time.hour < 12 else "PM"
        return word if "M" in token.text.upper() else word[0]
    if token.kind is Kind.ELAPSED:
        seconds = int((time - EXCEL_EPOCH).total_seconds())
        return str(seconds // _ELAPSED[token.text[0].lower()]).zfill(len(token.text))
    if token.kind is not Kind.MOMENT:
        return token.text
    letter, width = token.text[0].lower(), len(token.text)
    if letter in ("h", "s") or (letter == "m" and width < 3 and _is_minute(tokens, position)):
        hour = (time.hour % 12 or 12) if has_noon else time.hour
        number = {"h": hour, "m": time.minute, "s": time.second}[letter]
        return f"{number:0{min(width, 2)}d}"
    return _date_part(letter, width, time)


def _date_part(letter: str, width: int, time: dt.datetime) -> str:
    if letter == "y":
        return f"{time.year:04d}" if width > 2 else f"{time.year % 100:02d}"
    if width < 3:
        return f"{time.day if letter == 'd' else time.month:0{width}d}"
    name = f"{time:%A}" if letter == "d" else f"{time:%B}"
    if letter == "m" and width == 5:
        return name[0]
    return name[:3] if width == 3 else name


def _is_minute(tokens: Sequence[Token], position: int) -> bool:
    """Returns whether an m stands for minutes, because it follows hours or precedes seconds."""
    units = (Kind.MOMENT, Kind.ELAPSED)
    before = next((token.text[0].lower() for token in reversed(tokens[:position]) if token.kind in units), "")
    after = next((token.text[0].lower() for token in tokens[position + 1 :] if token.kind in units), "")
    return before == "h" or after == "s"


def _second_decimals(tokens: Sequence[Token]) -> int:
    """Returns how many decimal places a section displays for seconds."""
    for position, token in enumerate(tokens[:-1]):
        is_seconds = token.kind in (Kind.MOMENT, Kind.ELAPSED) and token.text[0] in "sS"
        if is_seconds and tokens[position + 1].kind is Kind.POINT:
            digits = tokens[position + 2 :]
            return next((count for count, digit in enumerate(digits) if digit.kind is not Kind.DIGIT), len(digits))
    return 0


def _round_seconds(time: dt.datetime, decimals: int) -> dt.datetime:
    """Rounds a time to the last decimal place that its section displays, as Excel does."""
    unit = 10 ** (6 - min(decimals, 6))
    rest = time.microsecond % unit
    try:
        return time + dt.timedelta(microseconds=unit - rest if rest * 2 >= unit else -rest)
    except OverflowError:  # the rounded time is after the year 9999
        return time - dt.timedelta(microseconds=rest)

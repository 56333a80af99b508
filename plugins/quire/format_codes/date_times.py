"""A date, a time or both in a section of a format code."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from quire.format_codes.sections import Kind, Section, Token

EXCEL_EPOCH = dt.datetime(1899, 12, 30)  # noqa: DTZ001 - a wall clock's
_ELAPSED = {"h": 3600, "m": 60, "s": 1}


def format_date_time(section: Section, moment: dt.datetime) -> str:
    """Returns a moment as a section shows it."""
    tokens = section.tokens
    decimals = _second_decimals(tokens)
    if any(token.kind in (Kind.MOMENT, Kind.ELAPSED) and token.text[0] in "sS" for token in tokens):
        moment = _rounded(moment, decimals)
    has_noon = section.has(Kind.NOON)
    parts = []
    behind_point = False
    for place, token in enumerate(tokens):
        if token.kind is Kind.POINT and decimals:
            fraction = f"{moment.microsecond:06d}"[:decimals].ljust(decimals, "0")
            parts.append(f".{fraction}")
            behind_point = True
        elif token.kind is Kind.DIGIT and behind_point:
            continue
        else:
            behind_point = False
            parts.append(_part(tokens, place, moment, has_noon=has_noon))
    return "".join(parts)


def _part(tokens: Sequence[Token], place: int, moment: dt.datetime, *, has_noon: bool) -> str:
    token = tokens[place]
    if token.kind is Kind.NOON:
        word = "AM" if moment.hour < 12 else "PM"
        return word if "M" in token.text.upper() else word[0]
    if token.kind is Kind.ELAPSED:
        seconds = int((moment - EXCEL_EPOCH).total_seconds())
        return str(seconds // _ELAPSED[token.text[0].lower()]).zfill(len(token.text))
    if token.kind is not Kind.MOMENT:
        return token.text
    letter, width = token.text[0].lower(), len(token.text)
    if letter in ("h", "s") or (letter == "m" and width < 3 and _is_minute(tokens, place)):
        hour = (moment.hour % 12 or 12) if has_noon else moment.hour
        number = {"h": hour, "m": moment.minute, "s": moment.second}[letter]
        return f"{number:0{min(width, 2)}d}"
    return _date_part(letter, width, moment)


def _date_part(letter: str, width: int, moment: dt.datetime) -> str:
    if letter == "y":
        return f"{moment.year:04d}" if width > 2 else f"{moment.year % 100:02d}"
    if width < 3:
        return f"{moment.day if letter == 'd' else moment.month:0{width}d}"
    name = f"{moment:%A}" if letter == "d" else f"{moment:%B}"
    if letter == "m" and width == 5:
        return name[0]
    return name[:3] if width == 3 else name


def _is_minute(tokens: Sequence[Token], place: int) -> bool:
    """Returns whether an m stands for minutes: it is the next unit behind hours, or the last one before seconds."""
    units = (Kind.MOMENT, Kind.ELAPSED)
    before = next((token.text[0].lower() for token in reversed(tokens[:place]) if token.kind in units), "")
    behind = next((token.text[0].lower() for token in tokens[place + 1 :] if token.kind in units), "")
    return before == "h" or behind == "s"


def _second_decimals(tokens: Sequence[Token]) -> int:
    """Returns how many decimals of a second a section shows."""
    for place, token in enumerate(tokens[:-1]):
        is_seconds = token.kind in (Kind.MOMENT, Kind.ELAPSED) and token.text[0] in "sS"
        if is_seconds and tokens[place + 1].kind is Kind.POINT:
            digits = tokens[place + 2 :]
            return next((count for count, digit in enumerate(digits) if digit.kind is not Kind.DIGIT), len(digits))
    return 0


def _rounded(moment: dt.datetime, decimals: int) -> dt.datetime:
    """Returns a moment rounded as a cell shows it: to the last decimal of its seconds."""
    unit = 10 ** (6 - min(decimals, 6))
    rest = moment.microsecond % unit
    try:
        return moment + dt.timedelta(microseconds=unit - rest if rest * 2 >= unit else -rest)
    except OverflowError:  # the last moment of the year 9999
        return moment - dt.timedelta(microseconds=rest)

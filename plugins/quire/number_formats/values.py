"""Formats cell values according to their format codes."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

from quire.number_formats.date_times import EXCEL_EPOCH, format_date_time
from quire.number_formats.numbers import format_general, format_number
from quire.number_formats.sections import MAX_SECTIONS, Kind, parse_sections, section_of

GENERAL = ("", "General", "@")


def format_value(value: Any, code: str) -> str:
    """Formats a value as Excel displays it in a cell with this format code, but without alignment blanks.

    Args:
        value: a cell value. Strings change only if the code has a section for text.
        code: an Excel format code.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, dt.date | dt.time):
        return _format_time(value, code)
    if isinstance(value, int | float | Decimal):
        return _format_number(value, code)
    return _format_text(str(value), code)


def _format_time(value: dt.date | dt.time, code: str) -> str:
    section = parse_sections(code)[0]
    # A cell would display the date's serial number, which means nothing to readers.
    if not section.has(Kind.MOMENT, Kind.ELAPSED):
        return str(value)
    return format_date_time(section, _date_time(value)).strip()


def _date_time(value: dt.date | dt.time) -> dt.datetime:
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, dt.time):
        return dt.datetime.combine(EXCEL_EPOCH.date(), value)
    return dt.datetime.combine(value, dt.time())


def _format_number(value: float | Decimal, code: str) -> str:
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        return str(value)
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if code in GENERAL:
        return format_general(number)
    section, has_own_sign = section_of(parse_sections(code), number)
    if section is None:
        return format_general(number)
    minus = "-" if number < 0 and not has_own_sign else ""
    if section.has(Kind.MOMENT, Kind.ELAPSED):
        return _format_serial(number, code)
    if section.has(Kind.GENERAL):
        general = format_general(abs(number))
        return minus + "".join(general if t.kind is Kind.GENERAL else t.text for t in section.tokens).strip()
    return (minus + format_number(section, abs(number))).strip()


def _format_serial(number: Decimal, code: str) -> str:
    """Formats a number of days since 1899-12-30 according to a date format."""
    try:
        return _format_time(EXCEL_EPOCH + dt.timedelta(days=float(number)), code)
    except OverflowError:
        return format_general(number)


def _format_text(text: str, code: str) -> str:
    sections = parse_sections(code)
    section = sections[-1]
    if not (len(sections) == MAX_SECTIONS or section.has(Kind.TEXT)):
        return text
    return "".join(text if token.kind is Kind.TEXT else token.text for token in section.tokens)

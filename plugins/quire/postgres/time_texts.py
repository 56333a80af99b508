"""Dates and times as PostgreSQL prints them in the style ISO.

Among them are some that Arrow does not read: infinity, years BC and after 9999, 24:00, and offsets with seconds, as
zones had in the 19th century.
"""

from __future__ import annotations

import re
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

_MICROSECONDS = 1_000_000
_DAY = 86_400 * _MICROSECONDS
_EPOCH = date(1970, 1, 1).toordinal()
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097  # after which the Gregorian calendar repeats itself
_DATE = r"\d{4}-\d\d-\d\d"
_CLOCK = r"(?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d{1,6})?"
_READ_BY_ARROW = {
    pa.date32(): rf"^{_DATE}$",
    pa.time64("us"): rf"^{_CLOCK}$",
    pa.timestamp("us"): rf"^{_DATE} {_CLOCK}$",
    pa.timestamp("us", tz="UTC"): rf"^{_DATE} {_CLOCK}[+-]\d\d(?::\d\d)?$",
}
# What stands for infinity: the integers' ends, but one above the lowest of 64 bits, which numpy and pandas readers take
# for "not a time".
_ENDS = {pa.int32(): (-(2**31), 2**31 - 1), pa.int64(): (-(2**63) + 1, 2**63 - 1)}
_PRINTED = re.compile(
    r"(?:(?P<year>\d{4,})-(?P<month>\d\d)-(?P<day>\d\d))? ?"
    r"(?:(?P<hours>\d\d):(?P<minutes>\d\d):(?P<seconds>\d\d)(?:\.(?P<fraction>\d+))?)?"
    r"(?P<offset>[+-]\d\d(?::\d\d){0,2})?(?P<bc> BC)?"
)


class StyleError(ValueError):
    """A time is in another style, as after a change of DateStyle."""


def times_of(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Returns the dates, times or timestamps that PostgreSQL printed.

    Infinite ones become the ends of their integers, so that they sort as they should.

    Args:
        texts: strings.
        kind: date32, time64("us"), timestamp("us") or timestamp("us", tz="UTC").

    Raises:
        OverflowError: one lies outside of what 64 bits of microseconds hold.
        StyleError: one is not in the style ISO.
    """
    number = pa.int32() if pa.types.is_date32(kind) else pa.int64()
    is_usual = pc.match_substring_regex(texts, _READ_BY_ARROW[kind])
    numbers = _read_by_arrow(pc.if_else(is_usual, texts, pa.scalar(None, pa.string())), kind).view(number)
    is_odd = pc.fill_null(pc.invert(is_usual), fill_value=False)
    odd = texts.filter(is_odd).dictionary_encode()
    values = pa.array([_number(text, number) for text in odd.dictionary.to_pylist()], number)
    return pc.replace_with_mask(numbers, is_odd, values.take(odd.indices)).view(kind)


def _read_by_arrow(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_time(kind):  # which Arrow casts from no text
        since_epoch = pc.binary_join_element_wise("1970-01-01", texts, " ")
        return pc.cast(since_epoch, pa.timestamp("us"))
    return pc.cast(texts, kind)


def _number(text: str, number: pa.DataType) -> int:
    """Returns days (32 bits) or microseconds (64) since 1970; since midnight for a time of day."""
    lowest, highest = _ENDS[number]
    if text in ("infinity", "-infinity"):
        return lowest if text.startswith("-") else highest
    part = _PRINTED.fullmatch(text)
    if not part:
        raise StyleError(f"{text}, which is not in PostgreSQL's style ISO")
    days = _days(part) if part["year"] else 0
    if number == pa.int32():
        return days
    seconds = int(part["hours"]) * 3600 + int(part["minutes"]) * 60 + int(part["seconds"]) - _seconds(part["offset"])
    microseconds = days * _DAY + seconds * _MICROSECONDS + int((part["fraction"] or "").ljust(6, "0"))
    if not lowest < microseconds < highest:
        raise OverflowError(text)
    return microseconds


def _days(part: re.Match[str]) -> int:
    year = 1 - int(part["year"]) if part["bc"] else int(part["year"])
    cycles, year = divmod(year, _CYCLE_YEARS)  # a year that Python's calendar has, once a cycle is added
    ordinal = date(year + _CYCLE_YEARS, int(part["month"]), int(part["day"])).toordinal()
    return ordinal + (cycles - 1) * _CYCLE_DAYS - _EPOCH


def _seconds(offset: str | None) -> int:
    if not offset:
        return 0
    hours, minutes, seconds = ([int(number) for number in offset[1:].split(":")] + [0, 0])[:3]
    return (-1 if offset[0] == "-" else 1) * (hours * 3600 + minutes * 60 + seconds)

"""Parses dates and times that PostgreSQL printed in its ISO style.

Arrow cannot parse infinity, years BC, years after 9999, 24:00, or UTC offsets with seconds, which time
zones used in the 19th century.
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from quire.errors import QueryError
from quire.output_values.unrepresentable_dates import (
    DAY_MICROSECONDS,
    DAYS_BOUNDS,
    MICROSECONDS_BOUNDS,
    SECOND,
    days_since_epoch,
)

_DATE = r"\d{4}-\d\d-\d\d"
_CLOCK = r"(?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d{1,6})?"
_READ_BY_ARROW = {
    pa.date32(): rf"^{_DATE}$",
    pa.time64("us"): rf"^{_CLOCK}$",
    pa.timestamp("us"): rf"^{_DATE} {_CLOCK}$",
    pa.timestamp("us", tz="UTC"): rf"^{_DATE} {_CLOCK}[+-]\d\d(?::\d\d)?$",
}
_BOUNDS = {pa.int32(): DAYS_BOUNDS, pa.int64(): MICROSECONDS_BOUNDS}
_PRINTED = re.compile(
    r"(?:(?P<year>\d{4,})-(?P<month>\d\d)-(?P<day>\d\d))? ?"
    r"(?:(?P<hours>\d\d):(?P<minutes>\d\d):(?P<seconds>\d\d)(?:\.(?P<fraction>\d+))?)?"
    r"(?P<offset>[+-]\d\d(?::\d\d){0,2})?(?P<bc> BC)?"
)


class StyleError(QueryError):
    """A value is not in the ISO style, for example because DateStyle changed."""


def parse_times(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Parses dates, times or timestamps that PostgreSQL printed.

    Infinity and -infinity become the storage type's upper and lower bounds, so they sort as they do in PostgreSQL.

    Args:
        texts: the strings.
        kind: date32, time64("us"), timestamp("us") or timestamp("us", tz="UTC").

    Raises:
        OverflowError: a timestamp, in microseconds, does not fit in 64 bits.
        StyleError: a value is not in the ISO style.
    """
    integer = pa.int32() if pa.types.is_date32(kind) else pa.int64()
    is_usual = pc.match_substring_regex(texts, _READ_BY_ARROW[kind])
    usual = _parse_usual(pc.if_else(is_usual, texts, pa.scalar(None, pa.string())), kind).view(integer)
    is_unusual = pc.fill_null(pc.invert(is_usual), fill_value=False)
    unusual = texts.filter(is_unusual).dictionary_encode()
    values = pa.array([_parse(text, integer) for text in unusual.dictionary.to_pylist()], integer)
    return pc.replace_with_mask(usual, is_unusual, values.take(unusual.indices)).view(kind)


def _parse_usual(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_time(kind):  # Arrow cannot cast strings to times of day
        since_epoch = pc.binary_join_element_wise("1970-01-01", texts, " ")
        return pc.cast(since_epoch, pa.timestamp("us"))
    return pc.cast(texts, kind)


def _parse(text: str, integer: pa.DataType) -> int:
    """Returns days (32 bits) or microseconds (64 bits) since 1970; for a time of day, microseconds since midnight."""
    lowest, highest = _BOUNDS[integer]
    if text in ("infinity", "-infinity"):
        return lowest if text.startswith("-") else highest
    match = _PRINTED.fullmatch(text)
    if not match:
        raise StyleError(f"{text}, which is not in PostgreSQL's ISO style")
    days = _days(match) if match["year"] else 0
    if integer == pa.int32():
        return days
    seconds = int(match["hours"]) * 3600 + int(match["minutes"]) * 60 + int(match["seconds"])
    seconds -= _offset_seconds(match["offset"])
    microseconds = days * DAY_MICROSECONDS + seconds * SECOND + int((match["fraction"] or "").ljust(6, "0"))
    if not lowest < microseconds < highest:
        raise OverflowError(text)
    return microseconds


def _days(match: re.Match[str]) -> int:
    year = 1 - int(match["year"]) if match["bc"] else int(match["year"])
    return days_since_epoch(year, int(match["month"]), int(match["day"]))


def _offset_seconds(offset: str | None) -> int:
    if not offset:
        return 0
    hours, minutes, seconds = ([int(number) for number in offset[1:].split(":")] + [0, 0])[:3]
    return (-1 if offset[0] == "-" else 1) * (hours * 3600 + minutes * 60 + seconds)

"""Converts Python values to cell values for static sheets, by the same rules as ``cells``."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Context, Decimal, InvalidOperation
from typing import Any

import pyarrow as pa

from quire.output_values.unrepresentable_dates import (
    DAY_MICROSECONDS,
    END_OF_DAY,
    date_text,
    timestamp_text,
    utc_offset,
)
from quire.xlsx.excel_limits import FIRST_DAY, LAST_DAY, LAST_TIME, MAX_CELL_NUMBER_LENGTH, MAX_DIGITS
from quire.xlsx.model import SheetColumn
from quire.xlsx.xml_text import cut_text

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - local time
_UTC_EPOCH = _EPOCH.replace(tzinfo=dt.UTC)
_DAY, _MICROSECOND = dt.timedelta(days=1), dt.timedelta(microseconds=1)
_ALL_DIGITS = Context(prec=160_000, traps=[InvalidOperation])


def to_cell_value(value: Any, *, timezone: str) -> Any:
    """Returns the value to write to a cell, which is text if Excel cannot represent the original value exactly.

    Args:
        value: a value of any PostgreSQL type, as a Python object.
        timezone: the IANA name of the time zone to which aware datetimes are converted.
    """
    if isinstance(value, bool | None):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _non_finite_text(value)
    if isinstance(value, int):
        return value if abs(value) < 10**MAX_DIGITS else str(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, dt.datetime):
        return _date_time(value, timezone)
    if isinstance(value, dt.date):
        return _date((value - _EPOCH.date()).days)
    return cut_text(value) if isinstance(value, str) else value


def column_values(table: pa.Table, column: SheetColumn, *, timezone: str) -> list[Any]:
    """Returns a column's cell values.

    Args:
        table: the table that contains the column.
        column: one of the table's columns.
        timezone: the IANA name of the time zone to which timestamps with time zone are converted.
    """
    values, kind = table[column.name], table.schema.field(column.name).type
    if pa.types.is_date32(kind):  # Python's dates support neither years BC nor infinity
        return [None if days is None else _date(days) for days in values.cast(pa.int32()).to_pylist()]
    if pa.types.is_timestamp(kind):
        numbers = values.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64()).to_pylist()
        zone = timezone if kind.tz else None
        return [None if number is None else _timestamp(number, zone) for number in numbers]
    if pa.types.is_time64(kind):
        numbers = values.cast(pa.time64("us"), safe=False).cast(pa.int64()).to_pylist()
        return [None if number is None else _time(number) for number in numbers]
    if pa.types.is_float32(kind):  # converting the floats directly to doubles would add digits
        values = values.cast(pa.string()).cast(pa.float64())
    items = values.to_pylist()
    if column.numeric_text:
        items = [None if text is None else Decimal(text) for text in items]
    return [to_cell_value(value, timezone=timezone) for value in items]


def _non_finite_text(value: float) -> str:
    return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")


def _decimal(value: Decimal) -> float | str:
    if not value.is_finite():
        return _non_finite_text(float(value))
    number = value.normalize(_ALL_DIGITS)
    if len(number.as_tuple().digits) <= MAX_DIGITS and abs(number.adjusted()) < MAX_CELL_NUMBER_LENGTH:
        return float(value)
    return cut_text(f"{value:f}")


def _date_time(value: dt.datetime, timezone: str) -> dt.datetime | str:
    if value.tzinfo is None:
        return _timestamp((value - _EPOCH) // _MICROSECOND, None)
    return _timestamp((value - _UTC_EPOCH) // _MICROSECOND, timezone)


def _timestamp(microseconds: int, timezone: str | None) -> dt.datetime | str:
    local = microseconds + (utc_offset(microseconds, timezone) if timezone else 0)
    if FIRST_DAY <= local // DAY_MICROSECONDS <= LAST_DAY:
        return _EPOCH + local // 1000 * 1000 * _MICROSECOND
    return timestamp_text(microseconds, timezone)


def _date(days: int) -> dt.date | str:
    return _EPOCH.date() + days * _DAY if FIRST_DAY <= days <= LAST_DAY else date_text(days)


def _time(microseconds: int) -> dt.time | str:
    if microseconds >= DAY_MICROSECONDS:
        return END_OF_DAY
    return (_EPOCH + min(microseconds, LAST_TIME) * _MICROSECOND).time()

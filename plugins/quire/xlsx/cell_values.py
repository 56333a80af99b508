"""The values of small sheets, as cells keep them: the same rules as for rows, for Python's own values."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Context, Decimal, InvalidOperation
from typing import Any

import pyarrow as pa

from quire.values.number_limits import MAX_BYTES, MAX_DIGITS
from quire.values.unrepresentable_dates import LAST_MILLISECOND, date_text, timestamp_text
from quire.values.wall_clock import DAY_MICROSECONDS, offset_at
from quire.xlsx.model import SheetColumn
from quire.xlsx.xml_text import cut_text

FIRST_DATE = dt.date(1900, 3, 1)
_FIRST_DAY, _LAST_DAY = FIRST_DATE.toordinal(), dt.date.max.toordinal()
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - a wall clock's
_UTC_EPOCH = _EPOCH.replace(tzinfo=dt.UTC)
_EPOCH_DAY = _EPOCH.toordinal()
_MICROSECOND, _MILLISECOND = dt.timedelta(microseconds=1), dt.timedelta(milliseconds=1)
_ALL_DIGITS = Context(prec=160_000, traps=[InvalidOperation])


def to_cell_value(value: Any, *, timezone: str) -> Any:
    """Returns a value as a cell keeps it: what Excel would round or refuse becomes text.

    Args:
        value: of any type that PostgreSQL's become in Python.
        timezone: that instants are shown in.
    """
    if isinstance(value, bool | None):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _special(value)
    if isinstance(value, int):
        return value if abs(value) < 10**MAX_DIGITS else str(value)
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, dt.datetime):
        return _moment(value, timezone)
    if isinstance(value, dt.date):
        return value if value >= FIRST_DATE else value.isoformat()
    return cut_text(value) if isinstance(value, str) else value


def column_values(table: pa.Table, column: SheetColumn, *, timezone: str) -> list[Any]:
    """Returns a column of a table as cells keep it.

    Args:
        table: small.
        column: of it.
        timezone: that instants are shown in.
    """
    values, kind = table[column.name], table.schema.field(column.name).type
    if pa.types.is_date32(kind):  # Python has neither BC nor infinity
        return [None if days is None else _date(days) for days in values.cast(pa.int32()).to_pylist()]
    if pa.types.is_timestamp(kind):
        numbers = values.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64()).to_pylist()
        zone = timezone if kind.tz else None
        return [None if number is None else _timestamp(number, zone) for number in numbers]
    if pa.types.is_time64(kind):
        numbers = values.cast(pa.time64("us"), safe=False).cast(pa.int64()).to_pylist()
        return [None if number is None else _time(number) for number in numbers]
    if pa.types.is_float32(kind):  # as doubles they would have digits that nobody gave them
        values = values.cast(pa.string()).cast(pa.float64())
    found = values.to_pylist()
    if column.numeric_text:
        found = [None if text is None else Decimal(text) for text in found]
    return [to_cell_value(value, timezone=timezone) for value in found]


def _special(value: float) -> str:
    return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")


def _number(value: Decimal) -> float | str:
    if not value.is_finite():
        return _special(float(value))
    number = value.normalize(_ALL_DIGITS)
    if len(number.as_tuple().digits) <= MAX_DIGITS and abs(number.adjusted()) < MAX_BYTES:
        return float(value)
    return cut_text(f"{value:f}")


def _moment(value: dt.datetime, timezone: str) -> dt.datetime | str:
    if value.tzinfo is None:
        return _timestamp((value - _EPOCH) // _MICROSECOND, None)
    return _timestamp((value - _UTC_EPOCH) // _MICROSECOND, timezone)


def _timestamp(microseconds: int, timezone: str | None) -> dt.datetime | str:
    local = microseconds + (offset_at(microseconds, timezone) if timezone else 0)
    if _FIRST_DAY <= local // DAY_MICROSECONDS + _EPOCH_DAY <= _LAST_DAY:
        return _EPOCH + local // 1000 * _MILLISECOND
    return timestamp_text(microseconds, timezone)


def _date(days: int) -> dt.date | str:
    ordinal = days + _EPOCH_DAY
    return dt.date.fromordinal(ordinal) if _FIRST_DAY <= ordinal <= _LAST_DAY else date_text(days)


def _time(microseconds: int) -> dt.time | str:
    if microseconds >= DAY_MICROSECONDS:
        return "24:00:00"
    return (_EPOCH + min(microseconds, LAST_MILLISECOND) * _MICROSECOND).time()

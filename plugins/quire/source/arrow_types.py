"""What each PostgreSQL type becomes in Arrow and Parquet, so that no value changes on the way.

A type that neither Arrow nor a cell has (json, uuid, arrays, inet, money, …) travels as PostgreSQL prints it, cast
in the query. ``numeric(p,s)`` becomes a decimal; ``numeric`` without scale becomes text, since no one scale fits.
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from quire.artifacts import SourceColumn
from quire.errors import QueryError

PG_TYPE = b"quire.pg_type"
_NUMERIC = re.compile(r"numeric\((\d+),(-?\d+)\)")
_DIRECT = {
    "bool": pa.bool_(),
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "text": pa.string(),
    "varchar": pa.string(),
    "bpchar": pa.string(),
    "name": pa.string(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
}
# PostgreSQL writes infinite dates and timestamps as the integers' ends, counted from 2000; the driver adds the
# distance to 1970 and lets it wrap (seen in 1.13.0). They become the ends again, so that they sort as they should.
_EPOCH = {pa.int32(): 10_957, pa.int64(): 946_684_800_000_000}  # days, microseconds
_BITS = {pa.int32(): 32, pa.int64(): 64}
_EARLIEST = {pa.int32(): -2_440_588, pa.int64(): -210_866_803_200_000_000}  # 4714-11-24 BC, PostgreSQL's first day


def numeric_scale(pg_type: str) -> tuple[int, int] | None:
    """Returns precision and scale of ``numeric(p,s)`` where a 128-bit decimal holds it, else None."""
    found = _NUMERIC.fullmatch(pg_type)
    if not found:
        return None
    precision, scale = int(found[1]), int(found[2])
    return (precision, scale) if 0 <= scale <= precision <= 38 else None


def arrow_type(pg_type: str) -> pa.DataType:
    """Returns the Arrow type that holds every value of a PostgreSQL type."""
    decimal = numeric_scale(pg_type)
    return pa.decimal128(*decimal) if decimal else _DIRECT.get(pg_type, pa.string())


def is_postgresqls_own(name: str, arrived: pa.DataType) -> bool:
    """Whether a column is of PostgreSQL's type of this name, and not of a user's enum or composite called the same."""
    if name == "numeric":
        return isinstance(arrived, pa.BaseExtensionType)
    return name not in _DIRECT or arrived == _DIRECT[name]


def select_list(columns: tuple[SourceColumn, ...]) -> str:
    """Returns the columns for SELECT, each cast to text that has no Arrow type.

    So is ``numeric``: the driver itself turns its binary form into text, four times as slowly as PostgreSQL does (seen
    in 1.13.0).
    """
    return ", ".join(
        quoted(column.name) if column.pg_type in _DIRECT else f"{quoted(column.name)}::text AS {quoted(column.name)}"
        for column in columns
    )


def quoted(identifier: str) -> str:
    """Returns an SQL identifier, quoted."""
    return '"' + identifier.replace('"', '""') + '"'


def storage_schema(columns: tuple[SourceColumn, ...]) -> pa.Schema:
    """Returns the Parquet schema; each field's metadata keeps the PostgreSQL type."""
    return pa.schema(
        [
            pa.field(column.name, arrow_type(column.pg_type), metadata={PG_TYPE: column.pg_type.encode()})
            for column in columns
        ]
    )


def to_storage(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Returns a batch from the driver in the storage schema.

    Raises:
        QueryError: a numeric(p,s) column holds NaN, which no decimal has; or a time lies after the year 294246, which
            no Arrow timestamp has.
    """
    arrays = [_converted(array, field) for array, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _converted(array: pa.Array, field: pa.Field) -> pa.Array:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_date32(field.type) or pa.types.is_timestamp(field.type):
        return _with_infinities(array, field)
    if array.type == field.type:
        return array
    try:
        return pc.cast(array, field.type)
    except pa.ArrowInvalid as error:
        raise QueryError(
            f"column {_named(field)} holds a value that is not a number, such as NaN: select it as float8 or text"
        ) from error


def _with_infinities(array: pa.Array, field: pa.Field) -> pa.Array:
    kind = field.type
    number = pa.int32() if pa.types.is_date32(kind) else pa.int64()
    lowest, highest = -(2 ** (_BITS[number] - 1)), 2 ** (_BITS[number] - 1) - 1
    minus_infinity = lowest + _EPOCH[number]
    plus_infinity = minus_infinity - 1
    values = array.view(number)
    earliest = pc.min(values).as_py()
    if earliest is None or earliest >= _EARLIEST[number]:
        return array.cast(kind)
    values = pc.if_else(pc.equal(values, pa.scalar(plus_infinity, number)), pa.scalar(highest, number), values)
    # one above the lowest: numpy and pandas readers take the lowest 64-bit timestamp for "not a time"
    end = lowest if number == pa.int32() else lowest + 1
    infinite = pc.equal(values, pa.scalar(minus_infinity, number))
    wrapped = pc.less(pc.if_else(infinite, pa.scalar(0, number), values), pa.scalar(_EARLIEST[number], number))
    if pc.any(wrapped).as_py():
        raise QueryError(f"column {_named(field)} holds a time after the year 294246: select it as text")
    return pc.if_else(infinite, pa.scalar(end, number), values).view(kind)


def _named(field: pa.Field) -> str:
    return f"{field.name} ({field.metadata[PG_TYPE].decode()})"

"""The Arrow and Parquet type of each PostgreSQL type. No value changes on the way.

A type that neither Arrow nor a cell has (json, uuid, arrays, inet, money, …) travels as COPY and psql print it: a
cast to text may differ, as that of ``inet`` does. ``numeric(p,s)`` becomes a decimal; ``numeric`` without scale becomes
text, since no one scale fits.
"""

from __future__ import annotations

import re

import pyarrow as pa

from quire.records.stage_records import SourceColumn

PG_TYPE = b"quire.pg_type"
_NUMERIC = re.compile(r"numeric\((\d{1,4}),(-?\d{1,4})\)")
_DIRECT = {
    "bool": pa.bool_(),
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "numeric": pa.string(),  # without a scale
    "text": pa.string(),
    "varchar": pa.string(),
    "bpchar": pa.string(),
    "name": pa.string(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
}


def numeric_scale(pg_type: str) -> tuple[int, int] | None:
    """Returns precision and scale of ``numeric(p,s)`` if a 128-bit decimal can hold it, else None."""
    match = _NUMERIC.fullmatch(pg_type)
    if not match:
        return None
    precision, scale = int(match[1]), int(match[2])
    return (precision, scale) if 0 <= scale <= precision <= 38 else None


def arrow_type(pg_type: str) -> pa.DataType:
    """Returns the Arrow type that holds every value of a PostgreSQL type."""
    decimal = numeric_scale(pg_type)
    return pa.decimal128(*decimal) if decimal else _DIRECT.get(pg_type, pa.string())


def type_name(name: str, *, is_own: bool, modifier: tuple[int, int] | None) -> str:
    """Returns the name of a type as reports show it.

    Args:
        name: of the type, in PostgreSQL's catalogue.
        is_own: whether it is PostgreSQL's own, and not a user's who may have called it the same: that is quoted.
        modifier: precision and scale of ``numeric(p,s)``, else None.
    """
    if not is_own and name in _DIRECT:
        return quote_identifier(name)
    return f"numeric({modifier[0]},{modifier[1]})" if name == "numeric" and modifier else name


def select_list(columns: tuple[SourceColumn, ...]) -> str:
    """Returns the columns for SELECT, without casts: COPY prints values like psql, by their type's output function."""
    return ", ".join(quote_identifier(column.name) for column in columns)


def quote_identifier(identifier: str) -> str:
    """Returns a name as a quoted SQL identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def storage_schema(columns: tuple[SourceColumn, ...]) -> pa.Schema:
    """Returns the Parquet schema; each field's metadata keeps the PostgreSQL type."""
    return pa.schema(
        [
            pa.field(column.name, arrow_type(column.pg_type), metadata={PG_TYPE: column.pg_type.encode()})
            for column in columns
        ]
    )

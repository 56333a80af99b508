"""Maps PostgreSQL types to Arrow and Parquet types without losing information.

If a type has no Arrow equivalent (json, uuid, arrays, inet, money, …), its values become the text that COPY and psql
print. Casting such a value to text can produce different text, for example if the type is ``inet``. ``numeric(p,s)``
becomes a decimal; ``numeric`` without a scale becomes text, because no scale fits all its values.
"""

from __future__ import annotations

import re

import pyarrow as pa

from quire.record_types.stage_records import SourceColumn

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
    """Returns the precision and scale of ``numeric(p,s)``, or None if a 128-bit decimal cannot hold its values."""
    match = _NUMERIC.fullmatch(pg_type)
    if not match:
        return None
    precision, scale = int(match[1]), int(match[2])
    return (precision, scale) if 0 <= scale <= precision <= 38 else None


def arrow_type(pg_type: str) -> pa.DataType:
    """Returns the Arrow type that can hold every value of a PostgreSQL type."""
    decimal = numeric_scale(pg_type)
    return pa.decimal128(*decimal) if decimal else _DIRECT.get(pg_type, pa.string())


def type_name(name: str, *, is_own: bool, modifier: tuple[int, int] | None) -> str:
    """Returns a type's name as reports show it.

    Args:
        name: the name in PostgreSQL's catalog.
        is_own: whether the type is built in. A user-defined type that has the same name as a built-in type is quoted.
        modifier: the precision and scale of ``numeric(p,s)``; None for other types.
    """
    if not is_own and name in _DIRECT:
        return quote_identifier(name)
    return f"numeric({modifier[0]},{modifier[1]})" if name == "numeric" and modifier else name


def select_list(columns: tuple[SourceColumn, ...]) -> str:
    """Returns the columns as a SELECT list without casts, because COPY already prints each type as text."""
    return ", ".join(quote_identifier(column.name) for column in columns)


def quote_identifier(identifier: str) -> str:
    """Quotes a name as an SQL identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def storage_schema(columns: tuple[SourceColumn, ...]) -> pa.Schema:
    """Returns the schema of Parquet objects, which stores each column's PostgreSQL type in the field metadata."""
    return pa.schema(
        [
            pa.field(column.name, arrow_type(column.pg_type), metadata={PG_TYPE: column.pg_type.encode()})
            for column in columns
        ]
    )

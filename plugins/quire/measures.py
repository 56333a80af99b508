"""A summary as a lazy Polars query whose answer is PostgreSQL's own.

Where Polars and SQL differ, SQL is followed: a sum or mean of no values is NULL, NULL is no distinct value, sums of
integers do not overflow. Sums of integers and decimals are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import polars as pl

from quire.artifacts import SourceColumn
from quire.calendar_range import Grain
from quire.definition import Measure, Summary
from quire.periods import period_starts
from quire.result_columns import numeric_casts, polars_schema

WIDEST_INTEGER = pl.Decimal(38, 0)  # holds the sum of 10^19 bigints; Arrow has no wider integer than bigint


def summarize(rows: pl.LazyFrame, summary: Summary, columns: Sequence[SourceColumn], *, timezone: str) -> pl.LazyFrame:
    """Returns a summary's rows: its keys, then its measures, in the order that it asks for.

    Args:
        rows: the query's columns, as stored.
        summary: keys, measures and order.
        columns: of the query.
        timezone: IANA name; keys with ``every`` are days of this zone.
    """
    schema = polars_schema(columns)
    keys = [_key(key.column, key.every, timezone) for key in summary.by]
    inputs = [
        _input(measure, schema).alias(_input_name(position))
        for position, measure in enumerate(summary.measures.values())
        if measure.of is not None
    ]
    kinds = pl.LazyFrame(schema=schema).select(*inputs).collect_schema()
    grouped = (
        rows.with_columns(*numeric_casts(columns))
        .select(*keys, *inputs)
        .group_by(*(key.column for key in summary.by))
        .agg(
            *(
                _measured(measure, _input_name(position), kinds).alias(name)
                for position, (name, measure) in enumerate(summary.measures.items())
            )
        )
    )
    order = [(key.column, key.descending) for key in summary.sort]
    order += [(key.column, False) for key in summary.by if key.column not in dict(order)]
    return grouped.sort(
        [name for name, _ in order], descending=[descending for _, descending in order], nulls_last=True
    ).select(summary.column_names)


def _input_name(position: int) -> str:
    return f"measure {position}"  # a blank, so that it meets no column's name in SQL's usual form


def _key(name: str, every: Grain | None, timezone: str) -> pl.Expr:
    column = pl.col(name)
    if every is None:
        return column
    return column.map_batches(
        partial(period_starts, every=every, timezone=timezone), return_dtype=pl.Date, is_elementwise=True
    )


def _input(measure: Measure, schema: pl.Schema) -> pl.Expr:
    """Returns the values that are measured, widened so that no sum overflows."""
    of = pl.sql_expr(str(measure.of))
    if measure.agg not in ("sum", "mean"):
        return of
    kind = pl.LazyFrame(schema=schema).select(of.alias("of")).collect_schema()["of"]
    if kind in (pl.Int64, pl.UInt64):
        return of.cast(WIDEST_INTEGER)
    return of.cast(pl.Int64) if kind.is_integer() or kind == pl.Boolean else of


def _measured(measure: Measure, name: str, kinds: pl.Schema) -> pl.Expr:
    values = pl.col(name)
    match measure.agg:
        case "count":
            return pl.len().cast(pl.Int64)
        case "sum":
            return pl.when(values.count() > 0).then(values.sum())
        case "mean":
            return pl.when(values.count() > 0).then(values.sum().cast(pl.Float64) / values.count())
        case "n_unique":
            return values.drop_nulls().n_unique().cast(pl.Int64)
        case "min":
            return values.min()
        case "max":
            return values.nan_max() if kinds[name].is_float() else values.max()  # to PostgreSQL, NaN is the most
        case "median":
            return values.median()

"""Builds Polars queries that compute summaries in two steps, with the same results as PostgreSQL.

The first step computes the components of each measure, such as the sum and count of a mean, over all rows or over one
partition's rows. The second step merges the components from all partitions and computes the measures from them.

Where Polars and SQL differ, the results follow SQL: a sum or mean of no values is NULL, NULL is not a distinct value,
and sums of integers do not overflow. Sums of integers and decimals are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import polars as pl

from quire.aggregation.measure_expression import parse_expression
from quire.aggregation.result_columns import numeric_casts, polars_schema
from quire.date_range import Grain
from quire.output_values.date_columns import period_starts
from quire.postgres.arrow_types import storage_schema
from quire.record_types.stage_records import SourceColumn
from quire.report.definition import Measure, Summary

WIDEST_INTEGER = pl.Decimal(38, 0)  # can hold the sum of 10^19 bigints; Arrow has no integer type wider than bigint


def summarize(rows: pl.LazyFrame, summary: Summary, columns: Sequence[SourceColumn], *, timezone: str) -> pl.LazyFrame:
    """Computes a summary's rows from the query's rows. ``partial_groups`` describes the arguments."""
    return finish_groups(partial_groups(rows, summary, columns, timezone=timezone), summary)


def partial_groups(
    rows: pl.LazyFrame, summary: Summary, columns: Sequence[SourceColumn], *, timezone: str
) -> pl.LazyFrame:
    """Returns each group's keys and the components of its measures.

    Args:
        rows: the query's rows, as stored.
        summary: the summary's definition.
        columns: the columns of ``rows``.
        timezone: the IANA name of the time zone in which ``every`` computes dates.
    """
    schema = polars_schema(columns)
    keys = [_key(key.column, key.every, timezone) for key in summary.by]
    inputs = [
        _input(measure, schema).alias(_input_name(position))
        for position, measure in enumerate(summary.measures.values())
        if measure.of is not None
    ]
    kinds = pl.LazyFrame(schema=schema).select(*inputs).collect_schema()
    return (
        rows.with_columns(*numeric_casts(columns))
        .select(*keys, *inputs)
        .group_by(*(key.column for key in summary.by))
        .agg(
            *(
                part
                for position, measure in enumerate(summary.measures.values())
                for part in _parts(measure, _input_name(position), kinds)
            )
        )
    )


def partial_schema(summary: Summary, columns: Sequence[SourceColumn], *, timezone: str) -> pl.Schema:
    """Returns the schema of ``partial_groups``."""
    no_rows = pl.DataFrame(storage_schema(tuple(columns)).empty_table()).lazy()
    return partial_groups(no_rows, summary, columns, timezone=timezone).collect_schema()


def input_columns(summary: Summary, columns: Sequence[SourceColumn]) -> tuple[SourceColumn, ...]:
    """Returns the columns that a summary's keys and measures read."""
    names = {key.column for key in summary.by}
    for measure in summary.measures.values():
        if measure.of is not None:
            names.update(parse_expression(measure.of).meta.root_names())
    return tuple(column for column in columns if column.name in names)


def merge_groups(parts: pl.LazyFrame, summary: Summary) -> pl.LazyFrame:
    """Merges partial groups.

    Args:
        parts: the concatenated results of ``partial_groups``.
        summary: a mergeable summary.
    """
    kinds = parts.collect_schema()
    return parts.group_by(*(key.column for key in summary.by)).agg(
        *(
            _merge_part(measure, part, kinds)
            for position, measure in enumerate(summary.measures.values())
            for part in _part_names(measure, _input_name(position))
        )
    )


def finish_groups(groups: pl.LazyFrame, summary: Summary) -> pl.LazyFrame:
    """Returns a summary's sorted rows, with the keys in the first columns and the measures in the rest."""
    keys = [key.column for key in summary.by]
    measures = [
        _measure(measure, _input_name(position)).alias(name)
        for position, (name, measure) in enumerate(summary.measures.items())
    ]
    order = [(key.column, key.descending) for key in summary.sort]
    order += [(key.column, False) for key in summary.by if key.column not in dict(order)]
    return groups.select(*keys, *measures).sort(
        [name for name, _ in order], descending=[descending for _, descending in order], nulls_last=True
    )


def _input_name(position: int) -> str:
    return f"measure {position}"  # the space makes a collision with a column name unlikely


def _key(name: str, every: Grain | None, timezone: str) -> pl.Expr:
    column = pl.col(name)
    if every is None:
        return column
    return column.map_batches(
        partial(period_starts, every=every, timezone=timezone), return_dtype=pl.Date, is_elementwise=True
    )


def _input(measure: Measure, schema: pl.Schema) -> pl.Expr:
    """Returns a measure's expression, cast to a type in which no sum overflows."""
    of = parse_expression(str(measure.of))
    if measure.agg not in ("sum", "mean"):
        return of
    kind = pl.LazyFrame(schema=schema).select(of.alias("of")).collect_schema()["of"]
    if kind in (pl.Int64, pl.UInt64):
        return of.cast(WIDEST_INTEGER)
    if kind == pl.Float32:
        return of.cast(pl.Float64)  # as PostgreSQL's avg(real) does: only five digits of a 32-bit sum are correct
    return of.cast(pl.Int64) if kind.is_integer() or kind == pl.Boolean else of


def _part_names(measure: Measure, name: str) -> list[str]:
    return [name, _count_name(name)] if measure.agg in ("sum", "mean") else [name]


def _count_name(name: str) -> str:
    return f"{name} values"


def _parts(measure: Measure, name: str, kinds: pl.Schema) -> list[pl.Expr]:
    values = pl.col(name)
    match measure.agg:
        case "count":
            return [pl.len().cast(pl.Int64).alias(name)]
        case "sum" | "mean":
            return [values.sum(), values.count().cast(pl.Int64).alias(_count_name(name))]
        case "n_unique":
            return [values.drop_nulls().n_unique().cast(pl.Int64)]
        case "min":
            return [values.min()]
        case "max":
            return [_maximum(values, kinds[name])]
        case "median":
            return [values.median()]


def _merge_part(measure: Measure, name: str, kinds: pl.Schema) -> pl.Expr:
    parts = pl.col(name)
    match measure.agg:
        case "count" | "sum" | "mean":
            return parts.sum()
        case "min":
            return parts.min()
        case "max":
            return _maximum(parts, kinds[name])
        case "n_unique" | "median":
            raise TypeError(f"{measure.agg} cannot be merged")


def _measure(measure: Measure, name: str) -> pl.Expr:
    component, values = pl.col(name), pl.col(_count_name(name))
    match measure.agg:
        case "sum":
            return pl.when(values > 0).then(component)
        case "mean":
            return pl.when(values > 0).then(component.cast(pl.Float64) / values)
        case _:
            return component


def _maximum(values: pl.Expr, kind: pl.DataType) -> pl.Expr:
    return values.nan_max() if kind.is_float() else values.max()  # PostgreSQL sorts NaN last

"""Checks the query's columns against the definition before Quire reads any row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from quire.aggregation.measure_expression import not_an_expression, parse_expression
from quire.errors import DefinitionError
from quire.record_types.stage_records import SourceColumn
from quire.report.definition import Probe, ReportDefinition
from quire.report.definition.name_checks import find_duplicates, suggestion

if TYPE_CHECKING:
    import polars as pl

TIME_TYPES = ("date", "timestamp", "timestamptz")
PROBE_TYPES = (*TIME_TYPES, "int2", "int4", "int8", "numeric")
NUMERIC_AGGREGATIONS = ("sum", "mean", "median")


def validate_columns(definition: ReportDefinition, columns: Sequence[SourceColumn]) -> None:
    """Checks that the query returns every column that the definition names, and that each column has a suitable type.

    Raises:
        DefinitionError: a column is missing or has an unsuitable type. The message names the file and the field.
    """
    problems = [*_name_problems(definition, columns)]
    problems = problems or [*_total_problems(definition, columns), *_measure_problems(definition, columns)]
    if problems:
        field, reason = problems[0]
        more = f"; and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise DefinitionError(f"reports/{definition.name}.yaml: {field}: {reason}{more}")


def _name_problems(definition: ReportDefinition, columns: Sequence[SourceColumn]) -> Iterator[tuple[str, str]]:
    types = {column.name: column.pg_type for column in columns}
    for name in find_duplicates(column.name for column in columns):
        yield "source.sql", f"the query returns two columns called {name}: rename one with AS"
    references = [("source.time_column", definition.source.time_column)]
    if isinstance(definition.source.freshness, Probe):
        references.append(("source.freshness.probe", definition.source.freshness.probe))
    references += [(f"columns[{position}].name", column.name) for position, column in enumerate(definition.columns)]
    for position, summary in enumerate(definition.summaries):
        references += [(f"summaries[{position}].by", key.column) for key in summary.by]
    for field, name in references:
        if name not in types:
            hint = suggestion(name, types) or f"; it returns {', '.join(types)}"
            yield field, f"the query returns no column {name!r}{hint}"
    kind = types.get(definition.source.time_column)
    if kind and kind not in TIME_TYPES:
        yield (
            "source.time_column",
            f"{definition.source.time_column} is of type {kind}: it must be one of {', '.join(TIME_TYPES)}",
        )
    yield from _probe_problems(definition, types)
    for position, summary in enumerate(definition.summaries):
        for key in summary.by:
            if key.every and types.get(key.column, "date") not in TIME_TYPES:
                yield (
                    f"summaries[{position}].by",
                    f"every requires a date or timestamp: {key.column} is of type {types[key.column]}",
                )


def _probe_problems(definition: ReportDefinition, types: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    freshness = definition.source.freshness
    if isinstance(freshness, Probe):
        kind = types.get(freshness.probe, "date").partition("(")[0]
        if kind not in PROBE_TYPES:
            yield "source.freshness.probe", f"{freshness.probe} is of type {kind}: it must be a time or a number"


def _total_problems(definition: ReportDefinition, columns: Sequence[SourceColumn]) -> Iterator[tuple[str, str]]:
    schema = polars_schema(columns)
    for position, column in enumerate(definition.columns):
        kind = schema[column.name]
        is_number = kind.is_numeric() or str(kind) == "Boolean"
        if column.total not in (None, "count") and not (is_number or (kind.is_temporal() and column.total != "sum")):
            pg_type = next(source.pg_type for source in columns if source.name == column.name)
            yield f"columns[{position}].total", f"{column.name} is of type {pg_type} and has no {column.total}"


def _measure_problems(definition: ReportDefinition, columns: Sequence[SourceColumn]) -> Iterator[tuple[str, str]]:
    for position, summary in enumerate(definition.summaries):
        for name, measure in summary.measures.items():
            if measure.of is None:
                continue
            field = f"summaries[{position}].measures.{name}.of"
            try:
                kind = expression_type(measure.of, columns)
            except DefinitionError as error:
                yield field, error.message
                continue
            if measure.agg in NUMERIC_AGGREGATIONS and not (kind.is_numeric() or str(kind) == "Boolean"):
                yield field, f"{measure.agg} requires a number: {measure.of!r} is of type {kind}"


def expression_type(expression: str, columns: Sequence[SourceColumn]) -> pl.DataType:
    """Returns the type of a Polars SQL expression over the query's columns.

    Raises:
        DefinitionError: the expression is invalid, names an unknown column, or does not return a value for each row.
    """
    import polars as pl

    parsed = parse_expression(expression).alias("of")
    try:
        values = pl.DataFrame(schema=polars_schema(columns)).select(parsed)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise not_an_expression(expression, error) from error
    if values.height:  # a constant or an aggregate returns a row even if there are no input rows
        raise DefinitionError(f"{expression!r} must return a value for each row, computed from its columns")
    return values.schema["of"]


def polars_schema(columns: Sequence[SourceColumn]) -> pl.Schema:
    """Returns the schema that summaries use, in which ``numeric`` columns without a scale are decimals."""
    import polars as pl

    from quire.postgres.arrow_types import storage_schema

    frame = pl.DataFrame(storage_schema(tuple(columns)).empty_table())
    return frame.lazy().with_columns(*numeric_casts(columns)).collect_schema()


def numeric_casts(columns: Sequence[SourceColumn]) -> list[pl.Expr]:
    """Returns casts to Decimal(38, 18) for ``numeric`` columns without a scale, which Quire stores as text."""
    import polars as pl

    return [
        pl.col(column.name).cast(pl.Decimal(38, 18), strict=True)
        for column in columns
        if column.pg_type.startswith("numeric") and not _has_scale(column.pg_type)
    ]


def _has_scale(pg_type: str) -> bool:
    from quire.postgres.arrow_types import numeric_scale

    return numeric_scale(pg_type) is not None

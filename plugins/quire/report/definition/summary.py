"""Summaries: tables that group the detail rows; each has its own sheet and an optional chart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import field_serializer, field_validator, model_validator

from quire.date_range import Grain
from quire.report.definition.field_types import Expression, FormatCode, Label, default_title
from quire.report.definition.name_checks import duplicates_ignoring_case, suggestion
from quire.report.definition.strict_model import StrictModel, field_error
from quire.xlsx.names import MAX_SHEET_NAME_LENGTH

Aggregation = Literal["count", "sum", "mean", "min", "max", "n_unique", "median"]
ChartType = Literal["column", "bar", "line", "area", "pie", "scatter"]
RESERVED_SHEETS = {"about", "files", "history"}  # Quire writes the first two sheets; Excel reserves the third name


class GroupKey(StrictModel):
    """A column to group by; ``every`` truncates its times to the first day of a period in the report's time zone."""

    column: Label
    every: Grain | None = None

    @model_validator(mode="before")
    @classmethod
    def _accept_name(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, str) else value


class Measure(StrictModel):
    """A value that is aggregated over each group's rows.

    Args:
        agg: the aggregation. ``count`` counts rows and does not allow ``of``; every other aggregation requires ``of``.
        of: a Polars SQL expression over the query's columns.
        format: an Excel format code.
        title: the header; derived from the measure's name by default.
    """

    agg: Aggregation
    of: Expression | None = None
    format: FormatCode | None = None
    title: Label = ""

    @model_validator(mode="after")
    def _check_of(self) -> Self:
        if self.agg == "count" and self.of is not None:
            raise field_error("not allowed with agg: count; to count some of the rows, sum a CASE expression", "of")
        if self.agg != "count" and self.of is None:
            raise field_error(f"missing: {self.agg} needs a column or expression to aggregate", "of")
        return self


class SortKey(StrictModel):
    """A summary column to sort by, written as ``name`` for ascending order or ``-name`` for descending order."""

    column: Label
    descending: bool = False

    @model_validator(mode="before")
    @classmethod
    def _accept_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"column": value.removeprefix("-"), "descending": value.startswith("-")}
        return value


class ChartOptions(StrictModel):
    """A chart of the summary's columns."""

    type: ChartType
    x: Label
    y: tuple[Label, ...]

    @model_validator(mode="after")
    def _check_series(self) -> Self:
        if not self.y:
            raise field_error("is empty: name at least one measure", "y")
        if self.type == "pie" and len(self.y) > 1:
            raise field_error("a pie chart shows only one measure: list one", "y")
        return self


class Summary(StrictModel):
    """A grouped table. ``name`` is its sheet's name; ``measures`` keep their order from the file."""

    name: Label
    by: tuple[GroupKey, ...]
    measures: Mapping[Label, Measure]
    sort: tuple[SortKey, ...] = ()
    chart: ChartOptions | None = None

    @property
    def column_names(self) -> tuple[str, ...]:
        """The column names: the group keys, followed by the measures."""
        return (*(key.column for key in self.by), *self.measures)

    @field_validator("name")
    @classmethod
    def _check_sheet_name(cls, name: str) -> str:
        if len(name) > MAX_SHEET_NAME_LENGTH:
            raise ValueError(f"has {len(name)} characters: Excel allows {MAX_SHEET_NAME_LENGTH} in a sheet name")
        if re.search(r"[\[\]:*?/\\]|^'|'$", name) or name != name.strip():
            raise ValueError(
                f"is {name!r}: a sheet name must not contain []:*?/\\, nor start or end with an apostrophe or a space"
            )
        if name.casefold() in RESERVED_SHEETS:
            raise ValueError(f"is {name!r}: this sheet name is reserved; choose another name")
        return name

    @field_validator("measures")
    @classmethod
    def _fill_titles(cls, measures: Mapping[str, Measure]) -> Mapping[str, Measure]:
        return {
            name: m if m.title else m.model_copy(update={"title": default_title(name)}) for name, m in measures.items()
        }

    @field_serializer("measures", when_used="json")
    def _keep_order(self, measures: Mapping[str, Measure]) -> list[Any]:
        # A digest sorts mappings by key, but the order of the measures determines the sheet's column order.
        return [[name, measure.model_dump(mode="json")] for name, measure in measures.items()]

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        if not self.by:
            raise field_error("is empty: name at least one column", "by")
        if not self.measures:
            raise field_error("is empty: name at least one measure", "measures")
        for name in duplicates_ignoring_case(self.column_names):
            raise field_error(f"two columns are named {name}: rename one")
        for position, key in enumerate(self.sort):
            self._check_column(key.column, self.column_names, "sort", position)
        if self.chart:
            self._check_column(self.chart.x, self.column_names, "chart", "x")
            for position, name in enumerate(self.chart.y):
                self._check_column(name, tuple(self.measures), "chart", "y", position)
        return self

    def _check_column(self, name: str, columns: tuple[str, ...], *path: str | int) -> None:
        if name not in columns:
            listed = ", ".join(columns)
            raise field_error(f"is {name!r}: use one of {listed}{suggestion(name, columns)}", *path)

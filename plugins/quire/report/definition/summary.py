"""Summaries: tables grouped from the detail rows, each on its own sheet, with a chart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import field_serializer, field_validator, model_validator

from quire.date_range import Grain
from quire.report.definition.field_types import Expression, FormatCode, Label, default_title
from quire.report.definition.name_checks import duplicates_ignoring_case, suggestion
from quire.report.definition.strict_model import StrictModel, field_error

Aggregation = Literal["count", "sum", "mean", "min", "max", "n_unique", "median"]
ChartType = Literal["column", "bar", "line", "area", "pie", "scatter"]
SHEET_NAME_LENGTH = 31  # Excel's; its other rules are in _check_sheet_name
RESERVED_SHEETS = {"about", "files", "history"}  # ours, ours, and Excel's own


class GroupKey(StrictModel):
    """A column to group by; with ``every``, truncated to the period's first day in the report's time zone."""

    column: Label
    every: Grain | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_word(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, str) else value


class Measure(StrictModel):
    """A number for each group.

    Args:
        agg: ``count`` counts rows and takes no ``of``; the others need one.
        of: a Polars SQL expression over the query's columns.
        format: an Excel format code.
        title: the header's text; by default from the measure's name.
    """

    agg: Aggregation
    of: Expression | None = None
    format: FormatCode | None = None
    title: Label = ""

    @model_validator(mode="after")
    def _check_of(self) -> Self:
        if self.agg == "count" and self.of is not None:
            raise field_error("count counts rows and takes no of; sum a CASE expression to count some of them", "of")
        if self.agg != "count" and self.of is None:
            raise field_error(f"missing: {self.agg} needs the column or expression it is taken of", "of")
        return self


class SortKey(StrictModel):
    """A column of the summary to sort by; written ``name``, or ``-name`` for the largest first."""

    column: Label
    descending: bool = False

    @model_validator(mode="before")
    @classmethod
    def _read_word(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"column": value.removeprefix("-"), "descending": value.startswith("-")}
        return value


class Chart(StrictModel):
    """A chart over the summary's columns."""

    type: ChartType
    x: Label
    y: tuple[Label, ...]

    @model_validator(mode="after")
    def _check_series(self) -> Self:
        if not self.y:
            raise field_error("is empty: name at least one measure", "y")
        if self.type == "pie" and len(self.y) > 1:
            raise field_error("a pie shows one measure", "y")
        return self


class Summary(StrictModel):
    """A grouped table. ``name`` is its sheet's name; ``measures`` keep the order of the file."""

    name: Label
    by: tuple[GroupKey, ...]
    measures: Mapping[Label, Measure]
    sort: tuple[SortKey, ...] = ()
    chart: Chart | None = None

    @property
    def column_names(self) -> tuple[str, ...]:
        """The summary's columns: the keys, then the measures."""
        return (*(key.column for key in self.by), *self.measures)

    @field_validator("name")
    @classmethod
    def _check_sheet_name(cls, name: str) -> str:
        if len(name) > SHEET_NAME_LENGTH:
            raise ValueError(f"has {len(name)} characters: it names a sheet, Excel takes {SHEET_NAME_LENGTH}")
        if re.search(r"[\[\]:*?/\\]|^'|'$", name) or name != name.strip():
            raise ValueError(
                f"is {name!r}: it names a sheet, and may not have []:*?/\\, nor begin or end with ' or a blank"
            )
        if name.casefold() in RESERVED_SHEETS:
            raise ValueError(f"is {name!r}: that sheet's name is taken")
        return name

    @field_validator("measures")
    @classmethod
    def _fill_titles(cls, measures: Mapping[str, Measure]) -> Mapping[str, Measure]:
        return {
            name: m if m.title else m.model_copy(update={"title": default_title(name)}) for name, m in measures.items()
        }

    @field_serializer("measures", when_used="json")
    def _keep_order(self, measures: Mapping[str, Measure]) -> list[Any]:
        # A digest sorts the keys of mappings, but the order of the measures is the order of the sheet.
        return [[name, measure.model_dump(mode="json")] for name, measure in measures.items()]

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        if not self.by:
            raise field_error("is empty: name at least one column", "by")
        if not self.measures:
            raise field_error("is empty: name at least one measure", "measures")
        for name in duplicates_ignoring_case(self.column_names):
            raise field_error(f"two of its columns are called {name}")
        for position, key in enumerate(self.sort):
            self._check_known(key.column, self.column_names, "sort", position)
        if self.chart:
            self._check_known(self.chart.x, self.column_names, "chart", "x")
            for position, name in enumerate(self.chart.y):
                self._check_known(name, tuple(self.measures), "chart", "y", position)
        return self

    def _check_known(self, name: str, known: tuple[str, ...], *path: str | int) -> None:
        if name not in known:
            listed = ", ".join(known)
            raise field_error(f"is {name!r}: this summary has {listed}{suggestion(name, known)}", *path)

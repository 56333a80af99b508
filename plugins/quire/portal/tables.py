"""A run's summaries as small tables with charts, from the same stored objects as the summaries' workbook."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from quire.artifacts import Manifest
from quire.definition import ReportDefinition
from quire.errors import IntegrityError
from quire.front_sheets import summary_sheets
from quire.object_store import ObjectStore
from quire.portal.charts import draw_chart
from quire.xlsx.model import TableSheet
from quire.xlsx.styles import number_format

MOST_ROWS = 12  # the workbook has all of them
_DECIMALS = re.compile(r"\.(0+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryTable:
    """A summary on a page.

    Args:
        name: of the summary.
        header: titles, and whether the column is one of numbers.
        rows: their cells as text, the first few.
        total_rows: how many there are in all.
        chart: SVG, or nothing.
    """

    name: str
    header: list[tuple[str, bool]]
    rows: list[list[str]]
    total_rows: int
    chart: str


def summary_tables(definition: ReportDefinition, manifest: Manifest, *, store: ObjectStore) -> list[SummaryTable]:
    """Returns a run's summaries; none where the definition has other ones by now, or their objects are gone."""
    if not has_summaries(definition, manifest):
        return []
    try:
        sheets = summary_sheets(definition, manifest.summaries, store=store)
    except IntegrityError:
        return []
    return [_table(sheet) for sheet in sheets if is_shown_whole(sheet)]


def has_summaries(definition: ReportDefinition, manifest: Manifest) -> bool:
    """Whether a run has the summaries that the definition has by now, by their names."""
    return {staged.name for staged in manifest.summaries} == {summary.name for summary in definition.summaries}


def is_shown_whole(sheet: TableSheet) -> bool:
    """Whether every column that the definition has by now is in what was stored."""
    return {column.name for column in sheet.columns} <= set(sheet.table.schema.names)


def _table(sheet: TableSheet) -> SummaryTable:
    import pyarrow.types as kinds

    shown = sheet.table.slice(0, MOST_ROWS).to_pydict()
    schema = sheet.table.schema
    formats = {
        column.name: column.number_format or number_format(schema.field(column.name).type) for column in sheet.columns
    }
    columns = [[shown_value(value, formats[c.name]) for value in shown[c.name]] for c in sheet.columns]
    header = []
    for column in sheet.columns:
        kind = schema.field(column.name).type
        is_number = kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind)
        header.append((column.title, is_number))
    return SummaryTable(
        name=sheet.heading,
        header=header,
        rows=[list(row) for row in zip(*columns, strict=True)],
        total_rows=sheet.table.num_rows,
        chart=draw_chart(sheet, formats, shown_value),
    )


def shown_value(value: Any, code: str) -> str:
    """Returns a value as its sheet shows it, as nearly as a page needs."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, date | datetime):
        return _moment(value, code)
    if isinstance(value, int | float | Decimal):
        return _number(value, code)
    return str(value)


def _moment(value: date | datetime, code: str) -> str:
    words = {"mmm yyyy": "%b %Y", "yyyy": "%Y"}
    if isinstance(value, datetime) and code not in (*words, "yyyy-mm-dd"):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return value.strftime(words.get(code, "%Y-%m-%d"))


def _number(value: float | Decimal, code: str) -> str:
    percent = "%" if "%" in code else ""
    number = value * 100 if percent else value
    if code in ("", "General"):
        return f"{number:.10g}" if isinstance(number, float) else str(number)
    found = _DECIMALS.search(code)
    comma = "," if "," in code else ""
    return f"{number:{comma}.{len(found[1]) if found else 0}f}{percent}"

"""Chooses the columns for the detail sheets."""

from __future__ import annotations

from quire.record_types.stage_records import RunPlan
from quire.report.definition import ReportDefinition
from quire.xlsx.model import SheetColumn


def detail_columns(definition: ReportDefinition, plan: RunPlan) -> tuple[SheetColumn, ...]:
    """Returns the definition's columns, or all of the query's columns if the definition lists none."""
    unscaled = {column.name for column in plan.columns if _has_no_scale(column.pg_type)}
    if not definition.columns:
        return tuple(
            SheetColumn(
                name=column.name, title=definition.column_title(column.name), numeric_text=column.name in unscaled
            )
            for column in plan.columns
        )
    return tuple(
        SheetColumn(
            name=column.name,
            title=column.title,
            width=column.width,
            number_format=column.format,
            total=column.total,
            numeric_text=column.name in unscaled,
        )
        for column in definition.columns
    )


def _has_no_scale(pg_type: str) -> bool:
    from quire.postgres.arrow_types import numeric_scale

    return pg_type.startswith("numeric") and numeric_scale(pg_type) is None

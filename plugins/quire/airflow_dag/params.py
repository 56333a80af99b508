"""Builds a report's trigger form: dates, the report's parameters, formats, force and fan_out."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param

from quire.report.definition import Parameter, ReportDefinition


def trigger_params(definition: ReportDefinition) -> dict[str, Param]:
    """Returns the params for a report's DAG. If both dates are empty, the definition's window applies."""
    force = Param(
        False,
        type="boolean",
        title="Read every row again",
        description="Ignore cached partitions and publish a new run.",
    )
    formats = Param(
        list(definition.workbook.formats),
        type="array",
        items={"type": "string", "enum": list(definition.workbook.reader_formats)},
        examples=list(definition.workbook.reader_formats),  # the form shows these as choices
        title="Formats",
        description="File formats for the rows.",
    )
    fan_out = Param(
        False,
        type="boolean",
        title="Run each stage as a separate task",
        description="By default, a small run is a single task.",
    )
    return {**store_params(definition), "formats": formats, "force": force, "fan_out": fan_out}


def store_params(definition: ReportDefinition) -> dict[str, Param]:
    """Returns the params for the DAG that stores partitions ahead of time."""
    return {
        "start": _date("First day", f"Leave both dates empty for the last complete window ({definition.window})."),
        "end": _date("Last day", "Included in the report."),
        **{name: _own_param(parameter) for name, parameter in definition.parameters.items()},
    }


def _date(title: str, description: str) -> Param:
    return Param(None, type=["null", "string"], format="date", title=title, description=description)


def _own_param(parameter: Parameter) -> Param:
    kind = "string" if parameter.type == "date" else parameter.type
    optional = not parameter.required and parameter.default is None
    schema: dict[str, Any] = {
        "type": ["null", kind] if optional else kind,
        "title": parameter.title,
        "description": parameter.description or None,
        "minimum": parameter.minimum,
        "maximum": parameter.maximum,
        "format": "date" if parameter.type == "date" else None,
        "enum": [*parameter.enum, *([None] if optional else [])] if parameter.enum else None,
    }
    set_fields = {name: value for name, value in schema.items() if value is not None}
    return Param(**set_fields) if parameter.required else Param(parameter.default, **set_fields)

"""A report's trigger form: its dates, its own parameters, force."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param

from quire.report.definition import Parameter, ReportDefinition


def trigger_params(definition: ReportDefinition) -> dict[str, Param]:
    """Returns the DAG's params. Empty dates mean the definition's window."""
    force = Param(
        False,
        type="boolean",
        title="Read every row again",
        description="Passes over what is stored, and publishes a run of its own.",
    )
    formats = Param(
        list(definition.workbook.formats),
        type="array",
        items={"type": "string", "enum": list(definition.workbook.reader_formats)},
        examples=list(definition.workbook.reader_formats),  # which makes the form offer them
        title="Formats",
        description="Of the files with rows.",
    )
    return {**store_params(definition), "formats": formats, "force": force}


def store_params(definition: ReportDefinition) -> dict[str, Param]:
    """Returns the params of the DAG that stores ahead."""
    return {
        "start": _day("First day", f"Empty, with the last day: the last complete window, {definition.window}."),
        "end": _day("Last day", "Included."),
        **{name: _own(parameter) for name, parameter in definition.parameters.items()},
    }


def _day(title: str, description: str) -> Param:
    return Param(None, type=["null", "string"], format="date", title=title, description=description)


def _own(parameter: Parameter) -> Param:
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
    told = {name: value for name, value in schema.items() if value is not None}
    return Param(**told) if parameter.required else Param(parameter.default, **told)

"""Reports as the caller sees them."""

from __future__ import annotations

from anyio.to_thread import run_sync

from quire.portal.access import Caller, Reading, may
from quire.portal.run_requests import presets
from quire.portal.views import BrokenReportView, LimitsView, OwnerView, ParameterView, ReportView
from quire.report.catalog import Catalog, load_catalog
from quire.report.definition import ReportDefinition
from quire.settings import include_folder
from quire.urls import report_path


async def read_catalog() -> Catalog:
    """Returns the catalog, read in a thread."""
    return await run_sync(load_catalog, include_folder())


async def list_reports(caller: Caller, catalog: Catalog, base: str) -> list[ReportView]:
    """Returns the reports whose DAGs the caller may read, by title; ``list_broken_reports`` has the others."""
    readable = {dag["dag_id"] for dag in await caller.api.dags()}
    definitions = catalog.definitions
    found = [definitions[name] for name in definitions if name in readable]
    readings = [Reading(caller=caller, definition=definition) for definition in found]
    views = await run_sync(lambda: [show_report(reading, base) for reading in readings])
    return sorted(views, key=lambda report: report.title)


async def list_broken_reports(caller: Caller, catalog: Catalog) -> list[BrokenReportView]:
    """Returns the reports whose definitions cannot be read, and why: those that the caller may edit."""
    errors = catalog.errors
    editable = await run_sync(lambda: [name for name in errors if may(caller, name, "PUT", None)])
    return [BrokenReportView(name=name, error=errors[name].message) for name in sorted(editable)]


def show_report(reading: Reading, base: str) -> ReportView:
    """Returns a report with what its form needs."""
    definition = reading.definition
    return ReportView(
        name=definition.name,
        title=definition.title,
        description=definition.description,
        timezone=definition.timezone,
        partition=definition.partition,
        schedule=definition.schedule,
        formats=list(definition.workbook.formats),
        reader_formats=list(definition.workbook.reader_formats),
        limits=LimitsView(**definition.reader_limits.model_dump()),
        owner=OwnerView(**definition.owner.model_dump()) if definition.owner else None,
        parameters=_parameters(definition),
        presets=presets(definition),
        may_ask=reading.may_ask,
        may_cancel=reading.may_cancel,
        url=f"{base}{report_path(definition.name)}",
    )


def parameter_titles(definition: ReportDefinition) -> dict[str, str]:
    """Returns each parameter's title by its name."""
    return {name: parameter.title for name, parameter in definition.parameters.items()}


def _parameters(definition: ReportDefinition) -> list[ParameterView]:
    return [
        ParameterView(name=name, required=parameter.required, **parameter.model_dump())
        for name, parameter in definition.parameters.items()
    ]

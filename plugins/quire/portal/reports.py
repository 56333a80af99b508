"""Lists and shows the reports that the caller has access to."""

from __future__ import annotations

from collections.abc import Sequence

from anyio.to_thread import run_sync

from quire.portal.access import Caller, ReportAccess
from quire.portal.resources import PortalResources
from quire.portal.run_requests import presets
from quire.portal.views import BrokenReportView, LimitsView, OwnerView, ParameterView, ReportView
from quire.portal_urls import report_path
from quire.report.catalog import Catalog
from quire.report.definition import ReportDefinition
from quire.settings import include_folder


async def read_catalog(resources: PortalResources) -> Catalog:
    """Loads the catalog in a thread."""
    return await run_sync(resources.definitions.load, include_folder())


async def find_reports(caller: Caller, catalog: Catalog, search: str = "") -> list[ReportDefinition]:
    """Returns the valid reports whose DAGs the caller may read, sorted by title.

    Args:
        caller: the user.
        catalog: all reports.
        search: words that each must occur in a report's title, name, description or owner; case is ignored.
    """
    readable = await run_sync(caller.readable_dags)
    words = search.casefold().split()
    reports = [
        definition
        for name, definition in catalog.definitions.items()
        if name in readable and _matches(definition, words)
    ]
    return sorted(reports, key=lambda definition: (definition.title.casefold(), definition.name))


def _matches(definition: ReportDefinition, words: Sequence[str]) -> bool:
    if not words:
        return True
    owner = definition.owner.name if definition.owner else ""
    text = f"{definition.title} {definition.name} {definition.description} {owner}".casefold()
    return all(word in text for word in words)


async def list_reports(caller: Caller, catalog: Catalog, base: str, *, search: str = "") -> list[ReportView]:
    """Returns the reports that ``find_reports`` finds, including everything that their forms need."""
    reports = await find_reports(caller, catalog, search)
    accesses = [ReportAccess(caller=caller, definition=definition) for definition in reports]
    return await run_sync(lambda: [show_report(access, base) for access in accesses])


async def list_broken_reports(caller: Caller, catalog: Catalog) -> list[BrokenReportView]:
    """Returns the invalid reports that the caller may edit, with their errors."""
    errors = catalog.errors
    editable = await run_sync(lambda: [name for name in errors if caller.may("PUT", name)])
    return [BrokenReportView(name=name, error=errors[name].message) for name in sorted(editable)]


def show_report(access: ReportAccess, base: str) -> ReportView:
    """Returns a report, including everything that its form needs."""
    definition = access.definition
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
        may_ask=access.may_request,
        may_cancel=access.may_cancel,
        url=f"{base}{report_path(definition.name)}",
    )


def parameter_titles(definition: ReportDefinition) -> dict[str, str]:
    """Returns the parameter titles by name."""
    return {name: parameter.title for name, parameter in definition.parameters.items()}


def _parameters(definition: ReportDefinition) -> list[ParameterView]:
    return [
        ParameterView(name=name, required=parameter.required, **parameter.model_dump())
        for name, parameter in definition.parameters.items()
    ]

"""Reading include/reports: every report on its own, so that a broken file breaks its own report only."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from quire.errors import DefinitionError, unexpected_error
from quire.report.catalog.definition_file import definition_files, read_definition
from quire.report.catalog.query_file import read_query
from quire.report.definition import ReportDefinition
from quire.report.definition.name_checks import suggestion

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Catalog:
    """All reports, by name: those that can be read, and why the others cannot.

    A name under ``errors`` is a file's stem as it is, and need not be one that Airflow takes.
    """

    definitions: dict[str, ReportDefinition] = field(default_factory=dict)
    errors: dict[str, DefinitionError] = field(default_factory=dict)


def load_catalog(include: Path) -> Catalog:
    """Reads every report under ``include``/reports.

    Raises:
        DefinitionError: there is no such folder.
    """
    catalog = Catalog()
    for path in _report_files(include):
        try:
            catalog.definitions[path.stem] = _read_report(path)
        except DefinitionError as error:
            catalog.definitions.pop(path.stem, None)  # flights.yaml, when there is a flights.yml too
            catalog.errors[path.stem] = error
        except (Exception, SystemExit) as error:
            logger.exception("%s: its files cannot be read", path.stem)
            catalog.definitions.pop(path.stem, None)
            catalog.errors[path.stem] = unexpected_error(error, report=path.stem)
    return catalog


def find_definition(include: Path, name: str) -> ReportDefinition:
    """Reads one report.

    Raises:
        DefinitionError: there is none of that name, or its files are wrong.
    """
    paths = {path.stem: path for path in _report_files(include)}
    if name not in paths:
        likely = suggestion(name, paths) or f"; there are {', '.join(paths) or 'none'}"
        raise DefinitionError(f"no report is called {name!r} in {include.name}/reports{likely}")
    return _read_report(paths[name])


def _report_files(include: Path) -> list[Path]:
    folder = include.absolute() / "reports"
    if not folder.is_dir():
        raise DefinitionError(f"there is no folder {folder}: QUIRE_INCLUDE names the one that holds reports/ and sql/")
    return definition_files(folder)


def _read_report(path: Path) -> ReportDefinition:
    found = read_definition(path, ReportDefinition)
    query = read_query(found.definition, found.document, include=path.parents[1], file=found.file)
    return found.definition.model_copy(update={"sql_text": query})

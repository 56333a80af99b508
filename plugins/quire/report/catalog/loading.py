"""Loads each report in include/reports separately, so that an invalid file affects only its own report."""

from __future__ import annotations

import logging
from collections.abc import Callable
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
    """The valid definitions by name, and an error for each invalid report.

    The keys of ``errors`` are file name stems, which are not necessarily valid Airflow DAG IDs.
    """

    definitions: dict[str, ReportDefinition] = field(default_factory=dict)
    errors: dict[str, DefinitionError] = field(default_factory=dict)


def read_report(path: Path, *, before_reading: Callable[[Path], object] = lambda _: None) -> ReportDefinition:
    """Reads a report's YAML file and its SQL file.

    Args:
        path: the YAML file.
        before_reading: called with each file's path before the file is read.

    Raises:
        DefinitionError: one of the files is invalid.
    """
    include = path.parents[1]
    before_reading(path)
    file = read_definition(path, ReportDefinition)
    before_reading(include / "sql" / file.definition.source.sql)
    query = read_query(file.definition, file.document, include=include, file=file.file)
    return file.definition.model_copy(update={"sql_text": query})


def load_catalog(
    include: Path, *, only: str | None = None, read: Callable[[Path], ReportDefinition] = read_report
) -> Catalog:
    """Loads all reports in the reports/ folder, or a single report.

    Args:
        include: the folder that contains reports/ and sql/.
        only: the stem of the only file to load; if the file does not exist, the catalog is empty.
        read: reads a report, given the path to its YAML file.

    Raises:
        DefinitionError: the folder does not exist.
    """
    catalog = Catalog()
    for path in _report_files(include):
        if only not in (None, path.stem):
            continue
        try:
            catalog.definitions[path.stem] = read(path)
        except DefinitionError as error:
            catalog.definitions.pop(path.stem, None)  # for example flights.yaml, if flights.yml also exists
            catalog.errors[path.stem] = error
        except (Exception, SystemExit) as error:
            logger.exception("%s: cannot load the report", path.stem)
            catalog.definitions.pop(path.stem, None)
            catalog.errors[path.stem] = unexpected_error(error, report=path.stem)
    return catalog


def find_definition(
    include: Path, name: str, *, read: Callable[[Path], ReportDefinition] = read_report
) -> ReportDefinition:
    """Loads one report.

    Args:
        include: the folder that contains reports/ and sql/.
        name: the report's name.
        read: reads a report, given the path to its YAML file.

    Raises:
        DefinitionError: no report has this name, or the report's files are invalid.
    """
    paths = {path.stem: path for path in _report_files(include)}
    if name not in paths:
        hint = suggestion(name, paths) or f"; existing reports: {', '.join(paths) or 'none'}"
        raise DefinitionError(f"no report {name!r} in {include.name}/reports{hint}")
    return read(paths[name])


def _report_files(include: Path) -> list[Path]:
    folder = include.absolute() / "reports"
    if not folder.is_dir():
        raise DefinitionError(
            f"folder {folder} does not exist: set QUIRE_INCLUDE to the folder that contains reports/ and sql/"
        )
    return definition_files(folder)

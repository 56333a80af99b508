"""Reading include/reports: every report on its own, so that a broken file breaks its own report only."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from quire.catalog.document import Document, Fault, definition_error, read_document
from quire.catalog.faults import CATALOG_KEYS, known_keys, unknown_key, validation_faults
from quire.catalog.query_file import read_query
from quire.definition import ReportDefinition
from quire.definition.part import suggestion
from quire.errors import DefinitionError

SUFFIX = ".yaml"


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
    return sorted(path for path in folder.iterdir() if path.suffix in (SUFFIX, ".yml") and path.name[0] not in ".#")


def _read_report(path: Path) -> ReportDefinition:
    include = path.parents[1]
    file = path.relative_to(include.parent).as_posix()
    if path.suffix != SUFFIX:
        raise DefinitionError(f"{file}: rename it to {path.stem}{SUFFIX}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{file}: cannot be read: {error}") from error
    document = read_document(text, file=file)
    definition = _validate(path.stem, document, file=file)
    return definition.model_copy(update={"sql_text": read_query(definition, document, include=include, file=file)})


def _validate(stem: str, document: Document, *, file: str) -> ReportDefinition:
    for key in CATALOG_KEYS:
        if key in document.values:
            line, shown = document.locate((key,))
            reason = "the file's own name is the report's" if key == "name" else unknown_key(key, known_keys(()))
            raise definition_error([Fault(file=file, line=line, field=shown, reason=reason)])
    try:
        return ReportDefinition.model_validate({"name": stem, **document.values})
    except ValidationError as error:
        raise definition_error(validation_faults(error, document, file=file)) from error

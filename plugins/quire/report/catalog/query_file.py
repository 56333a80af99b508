"""The SQL file of a report: where it may lie, and that its placeholders are the parameters."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath

from quire.report import sql_template
from quire.report.catalog.text_file import MAX_QUERY_BYTES, read_text_file
from quire.report.catalog.yaml_document import FileProblem, YamlDocument, definition_error
from quire.report.definition import ReportDefinition
from quire.report.definition.name_checks import suggestion

MAX_PROBLEMS = 100  # of a file: errors list a few, and count the others
RANGE_BINDS = ("start", "end")


def read_query(definition: ReportDefinition, document: YamlDocument, *, include: Path, file: str) -> str:
    """Returns the SQL that ``source.sql`` names, ending in one line break.

    The line break matters: a comment at the end would swallow what is put behind the query. A final semicolon is
    dropped, since the query becomes part of a larger statement.

    Args:
        definition: as read from YAML.
        document: for the lines of its fields.
        include: the folder of reports/ and sql/.
        file: the YAML file's name in errors.

    Raises:
        DefinitionError: there is no such file, or its placeholders are not the parameters.
    """
    try:
        path = _query_path(definition.source.sql, include=include)
        text = read_text_file(path, folder=include / "sql", max_bytes=MAX_QUERY_BYTES)
    except (OSError, ValueError, RuntimeError) as error:  # the last: a link to itself
        line, field = document.locate(("source", "sql"))
        raise definition_error([FileProblem(file=file, line=line, field=field, reason=str(error))]) from error
    sql = text.rstrip().removesuffix(";").rstrip() + "\n"
    sql_file = path.relative_to(include.parent).as_posix()
    if problems := list(
        islice(_placeholder_problems(sql, definition, document, sql_file=sql_file, file=file), MAX_PROBLEMS)
    ):
        raise definition_error(problems)
    return sql


def _query_path(name: str, *, include: Path) -> Path:
    folder = include / "sql"
    pure = PurePosixPath(name)
    path = folder / pure
    if pure.is_absolute() or ".." in pure.parts or not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"is {name!r}: name a file under {include.name}/sql, without ..")
    if not path.is_file():
        known = [found.relative_to(folder).as_posix() for found in folder.rglob("*.sql")]
        raise ValueError(f"there is no file {include.name}/sql/{pure}{suggestion(name, known)}")
    return path


def _placeholder_problems(
    sql: str, definition: ReportDefinition, document: YamlDocument, *, sql_file: str, file: str
) -> Iterator[FileProblem]:
    if "\0" in sql:  # neither PostgreSQL nor Airflow's database has it in a text
        line = sql.count("\n", 0, sql.index("\0")) + 1
        yield FileProblem(file=sql_file, line=line, reason="has the control character \\x00: take it out")
    for problem in sql_template.problems(sql):
        yield FileProblem(file=sql_file, line=problem.line, reason=problem.reason)
    used = sql_template.placeholders(sql)
    known = (*RANGE_BINDS, *definition.parameters)
    for placeholder in used:
        if placeholder.name not in known:
            likely = suggestion(placeholder.name, known) or f"; declare it in {file} under parameters"
            yield FileProblem(
                file=sql_file, line=placeholder.line, reason=f"%({placeholder.name})s is no parameter{likely}"
            )
    names = {placeholder.name for placeholder in used}
    for name in RANGE_BINDS:
        if name not in names:
            yield FileProblem(file=sql_file, reason=f"does not use %({name})s: the query must give the rows of a range")
    for name in definition.parameters:
        if name not in names:
            line, field = document.locate(("parameters", name))
            yield FileProblem(file=file, line=line, field=field, reason=f"{sql_file} does not use %({name})s")

"""Reads a report's SQL file and checks that its placeholders match the parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path, PurePosixPath

from quire.report import sql_template
from quire.report.catalog.text_file import MAX_QUERY_BYTES, read_text_file
from quire.report.catalog.yaml_document import FileProblem, YamlDocument, definition_error
from quire.report.definition import ReportDefinition
from quire.report.definition.name_checks import suggestion

RANGE_BINDS = ("start", "end")
Suggest = Callable[[str, Iterable[str]], str]


def read_query(
    definition: ReportDefinition, document: YamlDocument, *, include: Path, file: str, suggest: Suggest = suggestion
) -> str:
    """Returns the SQL in the file that ``source.sql`` names, with exactly one newline at the end.

    Because the query becomes part of a larger statement, this function removes a trailing semicolon. The newline ends a
    trailing comment, which would otherwise comment out the SQL after the query.

    Args:
        definition: the definition from the YAML file, which does not yet contain the SQL.
        document: the YAML document, which provides the line numbers for errors.
        include: the folder that contains reports/ and sql/.
        file: the YAML file's name in errors.
        suggest: returns "; did you mean …" or an empty string for an unknown placeholder.

    Raises:
        DefinitionError: the file cannot be read, or its placeholders do not match the parameters.
    """
    try:
        path = _query_path(definition.source.sql, include=include)
        text = read_text_file(path, folder=include / "sql", max_bytes=MAX_QUERY_BYTES)
    except (OSError, ValueError, RuntimeError) as error:  # pathlib raises RuntimeError for a symbolic link loop
        line, field = document.locate(("source", "sql"))
        raise definition_error([FileProblem(file=file, line=line, field=field, reason=str(error))]) from error
    sql = text.rstrip().removesuffix(";").rstrip() + "\n"
    sql_file = path.relative_to(include.parent).as_posix()
    problems = _placeholder_problems(sql, definition, document, sql_file=sql_file, file=file, suggest=suggest)
    if first_problems := list(islice(problems, sql_template.MAX_PROBLEMS)):
        raise definition_error(first_problems)
    return sql


def _query_path(name: str, *, include: Path) -> Path:
    folder = include / "sql"
    pure = PurePosixPath(name)
    path = folder / pure
    if pure.is_absolute() or ".." in pure.parts or not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name!r} is outside {include.name}/sql: write a path relative to that folder, without ..")
    if not path.is_file():
        names = [file.relative_to(folder).as_posix() for file in folder.rglob("*.sql")]
        raise ValueError(f"{include.name}/sql/{pure} does not exist{suggestion(name, names)}")
    return path


def _placeholder_problems(
    sql: str, definition: ReportDefinition, document: YamlDocument, *, sql_file: str, file: str, suggest: Suggest
) -> Iterator[FileProblem]:
    if "\0" in sql:  # PostgreSQL text cannot contain NUL, and neither can Airflow's database
        line = sql.count("\n", 0, sql.index("\0")) + 1
        yield FileProblem(file=sql_file, line=line, reason="contains the control character \\x00: remove it")
    for problem in sql_template.problems(sql):
        yield FileProblem(file=sql_file, line=problem.line, reason=problem.reason)
    used = sql_template.placeholders(sql)
    names = (*RANGE_BINDS, *definition.parameters)
    for placeholder in used:
        if placeholder.name not in names:
            hint = suggest(placeholder.name, names) or f"; declare it under parameters in {file}"
            yield FileProblem(
                file=sql_file, line=placeholder.line, reason=f"%({placeholder.name})s is not a parameter{hint}"
            )
    used_names = {placeholder.name for placeholder in used}
    for name in RANGE_BINDS:
        if name not in used_names:
            reason = f"%({name})s is missing: the query must select the rows between %(start)s and %(end)s"
            yield FileProblem(file=sql_file, reason=reason)
    for name in definition.parameters:
        if name not in used_names:
            line, field = document.locate(("parameters", name))
            yield FileProblem(
                file=file, line=line, field=field, reason=f"unused: {sql_file} does not contain %({name})s"
            )

"""``quire hooks``: what is needed before a source of webhooks takes deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from quire.errors import DefinitionError, NoConnectionError, ReportError
from quire.settings import connection_variable, include_folder, source_url
from quire.webhooks.sources import find_source, source_names

Source = Annotated[str | None, typer.Argument(help="One source: its file's name, without .yaml; all by default.")]

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Webhooks: new rows by signed deliveries.")


@app.command()
def install(
    source: Source = None,
    by: Annotated[
        str | None, typer.Option("--by", help="The connection of who may make tables; the source's own by default.")
    ] = None,
) -> None:
    """Make the tables behind deliveries, in the database that a source writes to."""
    from quire.webhooks.delivery_tables import install as install_tables

    include = include_folder()
    for name in [source] if source else source_names(include):
        definition = find_source(include, name)
        url = source_url(definition.connection)
        typer.echo(install_tables(definition, writer_url=url, owner_url=source_url(by) if by else url))


@app.command()
def check(source: Source = None) -> None:
    """Validate sources, and their tables where a connection is set."""
    tell_errors(check_sources(source))


def tell_errors(errors: Mapping[str, ReportError]) -> None:
    """Prints what was found to be wrong, a line each, and then ends with the greatest exit status."""
    for found in errors.values():
        typer.echo(f"quire: {found}", err=True)
    if errors:
        raise typer.Exit(max(found.exit_status for found in errors.values()))


def check_sources(source: str | None = None) -> dict[str, ReportError]:
    """Checks one source or all, prints a line for each that is right, and returns why the others are not, by file."""
    errors: dict[str, ReportError] = {}
    for name in [source] if source else source_names(include_folder()):
        try:
            typer.echo(f"{_check(name)}{_signing_advice(name)}")
        except ReportError as error:
            errors[f"webhooks/{name}"] = error
    return errors


def _signing_advice(name: str) -> str:
    """Returns a warning where other sources verify with the same secret: a signature does not name its source."""
    include = include_folder()
    variable = connection_variable(find_source(include, name).signing)
    others = [other for other in source_names(include) if other != name and _signing_of(other) == variable]
    if not others:
        return ""
    return (
        f"; it shares its signing connection with {', '.join(others)}: a delivery that is signed for one is accepted "
        "for the other, so give each source a secret of its own"
    )


def _signing_of(name: str) -> str | None:
    try:
        return connection_variable(find_source(include_folder(), name).signing)
    except DefinitionError:  # reported when that source is checked
        return None


def _check(name: str) -> str:
    from quire.webhooks.delivery_tables import check_source

    definition = find_source(include_folder(), name)
    try:
        url = source_url(definition.connection)
    except NoConnectionError as error:
        return f"webhooks/{name}: the definition is right; its table was not looked at: {error.message}"
    missing = check_source(definition, url=url)
    waits = f"; it makes no new rows unless a trigger sets {', '.join(missing)}" if missing else ""
    return f"webhooks/{name}: the definition and its table are right{waits}"

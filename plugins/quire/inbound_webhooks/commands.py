"""``quire hooks``: prepares webhooks for deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from quire.errors import DefinitionError, NoConnectionError, ReportError
from quire.inbound_webhooks.webhook_files import find_webhook, webhook_names
from quire.settings import connection_variable, include_folder, source_url

Webhook = Annotated[
    str | None, typer.Argument(metavar="[WEBHOOK]", help="A webhook: its file name without .yaml. Default: all.")
]

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Receive rows by webhook.")


@app.command("install")
def install_webhooks(
    webhook: Webhook = None,
    by: Annotated[
        str | None, typer.Option("--by", help="Connection for a role that can create tables. Default: the webhook's.")
    ] = None,
) -> None:
    """Create the tables that record deliveries in the database that a webhook writes to."""
    from quire.inbound_webhooks.delivery_tables import install_tables

    include = include_folder()
    for name in [webhook] if webhook else webhook_names(include):
        definition = find_webhook(include, name)
        url = source_url(definition.connection)
        typer.echo(install_tables(definition, writer_url=url, owner_url=source_url(by) if by else url))


@app.command("check")
def check_command(webhook: Webhook = None) -> None:
    """Validate webhooks and, if the connection is set, their tables."""
    exit_on_errors(check_webhooks(webhook))


def exit_on_errors(errors: Mapping[str, ReportError]) -> None:
    """Prints one line per error, then exits with the highest exit status. Does nothing without errors."""
    for error in errors.values():
        typer.echo(f"quire: {error}", err=True)
    if errors:
        raise typer.Exit(max(error.exit_status for error in errors.values()))


def check_webhooks(webhook: str | None = None) -> dict[str, ReportError]:
    """Checks one webhook or all. Prints a line for each valid webhook and returns an error for each invalid one."""
    errors: dict[str, ReportError] = {}
    for name in [webhook] if webhook else webhook_names(include_folder()):
        try:
            typer.echo(f"{_check(name)}{_signing_advice(name)}")
        except ReportError as error:
            errors[f"webhooks/{name}"] = error
    return errors


def _signing_advice(name: str) -> str:
    """Returns a warning if other webhooks share the signing connection, because signatures do not name a webhook."""
    include = include_folder()
    variable = connection_variable(find_webhook(include, name).signing)
    others = [other for other in webhook_names(include) if other != name and _signing_of(other) == variable]
    if not others:
        return ""
    return (
        f". Warning: it shares its signing connection with {', '.join(others)}, so a delivery signed for one "
        "is accepted by all; use a different secret for each"
    )


def _signing_of(name: str) -> str | None:
    try:
        return connection_variable(find_webhook(include_folder(), name).signing)
    except DefinitionError:  # reported when that webhook is checked
        return None


def _check(name: str) -> str:
    from quire.inbound_webhooks.delivery_tables import validate_webhook

    definition = find_webhook(include_folder(), name)
    try:
        url = source_url(definition.connection)
    except NoConnectionError as error:
        return f"webhooks/{name}: the definition is valid; its table was not checked: {error.message}"
    missing = validate_webhook(definition, url=url)
    restriction = f"; it cannot insert rows unless a trigger sets {', '.join(missing)}" if missing else ""
    return f"webhooks/{name}: the definition and its table are valid{restriction}"

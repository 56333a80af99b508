"""Installs and checks the tables that record deliveries in the database that a webhook writes to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

import psycopg
from psycopg.sql import SQL, Identifier

from quire.errors import DefinitionError, error_context
from quire.inbound_webhooks.target import Connection, ensure_trusted_schema, validate_target
from quire.inbound_webhooks.webhook_definition import WebhookDefinition
from quire.postgres.error_translation import translate_driver_errors
from quire.postgres.schema_owner import (
    OwnerConnection,
    create_schema,
    installation_transaction,
    withdraw_default_grants,
)
from quire.postgres.session_settings import SAFE_SEARCH_PATH
from quire.report.sql_literal import CLIENT_ENCODING

FILE = files("quire.inbound_webhooks") / "sql" / "webhooks.sql"
TABLES = ("quire.webhook_event", "quire.webhook_record")
_UNUSABLE = """
SELECT name FROM unnest(%s::text[]) AS name, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS word
 WHERE to_regclass(name) IS NULL OR NOT has_table_privilege(to_regclass(name), word) LIMIT 1
"""


def install_tables(definition: WebhookDefinition, *, writer_url: str, owner_url: str) -> str:
    """Creates the tables if they do not already exist. Returns a line that describes the result.

    Args:
        definition: the webhook.
        writer_url: the URL of the webhook's connection.
        owner_url: the URL for a role that is allowed to create the tables in the same database. If that role is not the
            writer, it grants the writer access to the tables.

    Raises:
        DefinitionError: the writer still cannot use the tables.
        QueryError: PostgreSQL rejected a statement.
        SourceUnavailableError: PostgreSQL cannot be reached.
        UntrustedSchemaError: another role owns the ``quire`` schema or an object in it.
    """
    with error_context(report=definition.name):
        with _writer(writer_url) as writer:
            if _is_usable(writer):
                ensure_trusted_schema(definition, writer)
                return f"{definition.name}: already installed"
            (role,) = writer.execute("SELECT current_user").fetchone() or ("",)
        with installation_transaction(owner_url) as owner:
            _create_tables(owner, role)
        with _writer(writer_url) as writer:
            _ensure_installed(definition, writer)
            ensure_trusted_schema(definition, writer)
    return f"{definition.name}: installed"


def validate_webhook(definition: WebhookDefinition, *, url: str) -> tuple[str, ...]:
    """Checks that deliveries can be applied.

    Returns:
        The required columns that the webhook does not write. If there are any, the webhook can update rows but cannot
        insert them.

    Raises:
        DefinitionError: deliveries cannot be applied.
        QueryError: PostgreSQL rejected a statement.
        SourceUnavailableError: PostgreSQL cannot be reached.
        UntrustedSchemaError: another role owns the ``quire`` schema or a table in it.
    """
    with error_context(report=definition.name), _writer(url) as connection:
        missing = validate_target(definition, connection)
        _ensure_installed(definition, connection)
        ensure_trusted_schema(definition, connection)
    return missing


@contextmanager
def _writer(url: str) -> Iterator[Connection]:
    with (
        translate_driver_errors(url, driver=psycopg),
        psycopg.connect(url, client_encoding=CLIENT_ENCODING) as connection,
    ):
        connection.execute(f"SET LOCAL search_path TO {SAFE_SEARCH_PATH}")
        yield connection


def _create_tables(owner: OwnerConnection, role: str) -> None:
    create_schema(owner)
    owner.execute(FILE.read_bytes())
    withdraw_default_grants(owner)
    if owner.execute("SELECT WHERE current_user <> %s::name", [role]).rowcount:
        owner.execute(SQL("GRANT USAGE ON SCHEMA quire TO {}").format(Identifier(role)))
        owner.execute(
            SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON quire.webhook_event, quire.webhook_record TO {}").format(
                Identifier(role)
            )
        )


def _is_usable(writer: Connection) -> bool:
    uses = writer.execute("SELECT coalesce(has_schema_privilege(to_regnamespace('quire'), 'USAGE'), false)").fetchone()
    return uses == (True,) and writer.execute(_UNUSABLE, [list(TABLES)]).fetchone() is None


def _ensure_installed(definition: WebhookDefinition, writer: Connection) -> None:
    if not _is_usable(writer):
        raise DefinitionError(
            f"{' and '.join(TABLES)} are missing, or {definition.connection} is not allowed to use them. Run "
            f"`quire hooks install {definition.name}`",
            report=definition.name,
        )

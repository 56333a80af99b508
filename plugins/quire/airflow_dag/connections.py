"""Builds sessions and stores from Airflow's connections, and masks the connections' secrets in logs."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, urlencode

from quire.errors import NoConnectionError, SettingsError
from quire.report.definition import ReportDefinition
from quire.settings import (
    OWNER_CONNECTION,
    STORE_CONNECTION,
    StoreSettings,
    bucket_name,
    connection_form,
    connection_variable,
    validate_encoding,
)

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from sqlalchemy.engine import URL

    from quire.object_store.s3_store import S3Store
    from quire.postgres import SourceSession


def connection_url(connection_id: str) -> str:
    """Returns the libpq URL for a PostgreSQL connection.

    Raises:
        SettingsError: the connection does not exist or is not a PostgreSQL connection.
    """
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    connection = _connection(connection_id)
    if connection.conn_type not in ("postgres", "postgresql"):
        raise SettingsError(
            f"the {connection.conn_id} connection is of type {connection.conn_type}: it must be postgres"
        )
    host = connection.host or ""
    if set(host) & set("@?#") or ("/" in host and not host.startswith("/")):  # connection errors show the host
        raise SettingsError(
            f"the host in the {connection.conn_id} connection is not a host name: "
            "enter the user, password and database in separate fields"
        )
    hook = PostgresHook(connection=connection)
    extras = {
        name: str(value) for name, value in connection.extra_dejson.items() if name not in hook.ignored_extra_options
    }
    return _libpq_url(hook.sqlalchemy_url.update_query_dict(extras))


def connection_password(connection_id: str) -> str | None:
    """Returns a connection's password and masks each of its words in the logs.

    Raises:
        SettingsError: the connection does not exist.
    """
    from airflow.sdk.log import mask_secret

    password = _connection(connection_id).password
    for word in (password or "").split():
        mask_secret(word)
    return password


def open_session(definition: ReportDefinition) -> SourceSession:
    """Returns a session for the report's source. PostgresHook builds the connection URL.

    Raises:
        SettingsError: the connection does not exist or is not a PostgreSQL connection.
    """
    from quire.postgres import SourceSession

    url = connection_url(definition.source.connection)
    return SourceSession(url=url, timezone=definition.timezone, timeout=definition.source.timeout)


def owner_connection_url(definition: ReportDefinition) -> str:
    """Returns the libpq URL for ``quire_owner`` or, if that connection does not exist, for the source's connection.

    Raises:
        SettingsError: neither connection exists, or the connection is not a PostgreSQL connection.
    """
    try:
        return connection_url(OWNER_CONNECTION)
    except NoConnectionError:
        return connection_url(definition.source.connection)


def _libpq_url(url: URL) -> str:
    """Returns the URL with spaces encoded as %20, because libpq does not decode the + that SQLAlchemy writes."""
    user = ":".join(quote(part, safe="") for part in (url.username, url.password) if part)
    host = url.host or ""
    netloc_host = f"[{host}]" if ":" in host else quote(host, safe=",")
    port = f":{url.port}" if url.port else ""
    query = urlencode(url.normalized_query, doseq=True, quote_via=quote, safe="")
    return f"postgresql://{user}{'@' if user else ''}{netloc_host}{port}/{quote(url.database or '', safe='')}?{query}"


def open_store() -> S3Store:
    """Returns the object store that the ``quire_store`` connection describes.

    Raises:
        SettingsError: the connection does not exist.
    """
    from quire.object_store.s3_store import S3Store

    connection = _connection(STORE_CONNECTION)
    return S3Store(
        StoreSettings.from_extra(
            connection.extra_dejson,
            bucket=bucket_name(),
            access_key=connection.login,
            secret_key=connection.password,
        )
    )


def _connection(connection_id: str) -> Connection:
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException
    from airflow.sdk.log import mask_secret

    validate_encoding(connection_id)
    try:
        connection: Connection = Connection.get(connection_id)
    except AirflowNotFoundException as error:
        raise NoConnectionError(
            f"Airflow has no {connection_id} connection. Add it, or set {connection_variable(connection_id)} to "
            f"{connection_form(connection_id)}"
        ) from error
    if connection.password:
        # Airflow masks only the plain password, but URLs contain the encoded password.
        for encoded in {quote(connection.password, safe=""), quote_plus(connection.password)}:
            mask_secret(encoded)
    return connection

"""Airflow's connections as the stages need them. Whatever is secret is masked in the logs."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from quire.definition import ReportDefinition
from quire.errors import SettingsError
from quire.settings import STORE_CONNECTION, StoreSettings, bucket_name, variable_of

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from quire.object_store import ObjectStore
    from quire.source import SourceSession

# libpq's own parameters that may stand among a connection's extras (PostgreSQL's manual, 32.1.2); the hook's others,
# such as iam, are not for libpq.
LIBPQ_EXTRAS = {
    "application_name", "channel_binding", "connect_timeout", "gssencmode", "keepalives", "keepalives_count",
    "keepalives_idle", "keepalives_interval", "options", "sslcert", "sslcrl", "sslkey", "sslmode", "sslrootcert",
    "target_session_attrs", "tcp_user_timeout",
}  # fmt: skip


def open_session(definition: ReportDefinition) -> SourceSession:
    """Returns how to reach the report's source, by the PostgresHook.

    Raises:
        SettingsError: there is no such connection, or it is no PostgreSQL connection.
    """
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    from quire.source import SourceSession

    connection = _connection(definition.source.connection)
    if connection.conn_type not in ("postgres", "postgresql"):
        raise SettingsError(
            f"the connection {definition.source.connection} is of type {connection.conn_type}: it must be postgres"
        )
    extras = {name: str(value) for name, value in connection.extra_dejson.items() if name in LIBPQ_EXTRAS}
    hook = PostgresHook(connection=connection)
    url = hook.sqlalchemy_url.set(drivername="postgresql").update_query_dict(extras)
    return SourceSession(
        url=url.render_as_string(hide_password=False), timezone=definition.timezone, timeout=definition.source.timeout
    )


def open_store() -> ObjectStore:
    """Returns the object store of the connection ``quire_store``.

    Raises:
        SettingsError: there is no such connection.
    """
    from quire.object_store import ObjectStore

    connection = _connection(STORE_CONNECTION)
    return ObjectStore(
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

    try:
        connection: Connection = Connection.get(connection_id)
    except AirflowNotFoundException as error:
        raise SettingsError(
            f"Airflow has no connection {connection_id}: add it, or set {variable_of(connection_id)}"
        ) from error
    if connection.password:
        # Airflow masks the password as it is; in an address it stands encoded.
        for encoded in {quote(connection.password, safe=""), quote_plus(connection.password)}:
            mask_secret(encoded)
    return connection

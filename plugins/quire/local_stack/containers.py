"""``python -m quire.local_stack.containers bucket|flights``: what the container stack's own services run once."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier

from quire.errors import ReportError, SettingsError, TransientError
from quire.local_stack.flights import READER, load_flights
from quire.local_stack.postgres import told_errors
from quire.local_stack.s3 import ensure_bucket
from quire.object_store import ObjectStore
from quire.settings import OWNER_CONNECTION, StoreSettings, source_url, variable_of

SOURCE_CONNECTION = "quire_source"
SECONDS_TO_START = 60


def prepare_bucket() -> None:
    """Makes the bucket where it is missing, and waits until it takes objects.

    Raises:
        SettingsError: ``quire_store`` is missing or malformed.
        StoreRefusedError, StoreUnavailableError: the store refuses, or does not answer in a minute.
    """
    store = ObjectStore(StoreSettings.from_environment())
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            ensure_bucket(store)
            store.put(".ready", b"")
            return
        except TransientError:  # SeaweedFS comes up in steps: no answer, no bucket, no volume to write to
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def prepare_flights() -> None:
    """Makes the database of ``quire_owner`` where it is missing, and loads the flights for ``quire_source`` to read.

    Raises:
        SettingsError: a connection is missing or malformed, or is another user's than the flights' reader.
        StackError: PostgreSQL refuses.
    """
    owner = source_url(OWNER_CONNECTION)
    reader = conninfo_to_dict(source_url(SOURCE_CONNECTION))
    if reader.get("user") != READER or not reader.get("password"):
        raise SettingsError(f"{variable_of(SOURCE_CONNECTION)} must be that of {READER}, with its password")
    _create_database(owner)
    load_flights(owner, reader_password=str(reader["password"]))


def _create_database(owner: str) -> None:
    name = str(conninfo_to_dict(owner)["dbname"])
    elsewhere = make_conninfo(owner, dbname="postgres")
    with told_errors(f"database {name}"), psycopg.connect(elsewhere, autocommit=True) as connection:
        if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchall():
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))


COMMANDS: dict[str, Callable[[], None]] = {"bucket": prepare_bucket, "flights": prepare_flights}


def main(arguments: list[str]) -> int:
    """Runs one of the commands, and returns the exit status."""
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        print(f"usage: python -m quire.local_stack.containers {'|'.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        COMMANDS[arguments[0]]()
    except ReportError as error:
        print(f"quire: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

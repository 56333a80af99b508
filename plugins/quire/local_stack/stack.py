"""The three servers under one folder: started together, joined by whoever comes second, stopped together."""

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

from quire.errors import StackError
from quire.local_stack import airflow_servers, postgres_server
from quire.local_stack import s3_server as s3
from quire.local_stack.airflow_servers import ADMIN, AirflowServer, new_fernet_key
from quire.local_stack.environment import direct_environment
from quire.local_stack.flights import READER, load_flights
from quire.local_stack.ports import free_port, free_ports
from quire.local_stack.postgres_server import PostgresServer
from quire.local_stack.processes import any_running
from quire.local_stack.s3_server import S3Server
from quire.local_stack.signals import uninterrupted
from quire.settings import DEFAULT_BUCKET, OWNER_CONNECTION, connection_variable, include_folder, process_environment

PARTS = {"postgresql": "PostgreSQL", "s3": "S3", "airflow": "Airflow"}  # in the order in which they start
USUAL_PORTS = {"postgresql": postgres_server.USUAL_PORT, "s3": s3.USUAL_PORT, "airflow": airflow_servers.USUAL_PORT}
SOURCE_DATABASE, AIRFLOW_DATABASE = "flights", "airflow"
MOVES = 3  # of a part to another port, where somebody else is quicker
SECRETS = ("postgresql", "reader", "s3", "airflow", "jwt_secret")


class _Part(Protocol):
    folder: Path
    port: int

    def start(self) -> None: ...

    def stop(self) -> None: ...


def _silent(line: str) -> None:
    return


class LocalStack:
    """PostgreSQL, S3 and Airflow under ``folder``, with secrets of their own.

    Args:
        folder: everything of it; made where it is missing, for its owner only.
        fast: whether PostgreSQL may lose data in a crash, as in tests.
        environment: more for Airflow's tasks, over what the stack itself sets.
        tell: called with each line for whoever waits.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fast: bool = False,
        environment: Mapping[str, str] | None = None,
        tell: Callable[[str], None] = _silent,
    ) -> None:
        self.folder = folder.resolve()
        self._fast, self._environment, self._tell = fast, environment or {}, tell
        self._started: list[str] = []
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._alone():
            self._secrets = _keep_secrets(self.folder / "secrets.json")
            self._assemble(self._known_ports() or USUAL_PORTS)

    @property
    def running(self) -> bool:
        """Whether all of it runs."""
        return self.postgres.running and self.s3.running and self.airflow.running

    @property
    def started(self) -> bool:
        """Whether ``start`` has started anything, and not only joined what ran."""
        return bool(self._started)

    def environment(self) -> dict[str, str]:
        """Returns connections and bucket, as the ``quire`` command and Airflow read them."""
        reader = self.postgres.url(SOURCE_DATABASE, user=READER, password=self._secrets["reader"])
        return {
            "AIRFLOW_CONN_QUIRE_SOURCE": reader,
            "AIRFLOW_CONN_QUIRE_OWNER": self.postgres.url(SOURCE_DATABASE),
            "AIRFLOW_CONN_QUIRE_STORE": self.s3.connection,
            "QUIRE_BUCKET": DEFAULT_BUCKET,
        }

    def start(self) -> None:
        """Starts what does not run, loads the flights, and writes ``environment`` for shells.

        What was started is stopped again where the rest cannot be.

        Raises:
            StackError: a server cannot be started.
        """
        with self._alone():
            self._assemble(self._known_ports() or self._choose_ports())
            try:
                self._start_parts()
            except BaseException:
                self._stop_parts(self._started)
                raise
            _write_secret(self.folder / "environment", _exports({**self.airflow.environment(), **self._connections()}))

    def stop(self) -> bool:
        """Stops what was started under this folder, and nothing else; returns whether anything was."""
        with self._alone():
            self._assemble(self._known_ports() or USUAL_PORTS)
            found = self._known_ports() is not None
            self._stop_parts(PARTS)
            return found

    def stop_started(self) -> None:
        """Stops what ``start`` of this very object started: not what it joined."""
        with self._alone():
            self._stop_parts(self._started)

    def description(self) -> str:
        """Returns its addresses and passwords, for whoever started it."""
        return (
            f"Airflow     {self.airflow.url}  user {ADMIN}, password {self._secrets['airflow']}\n"
            f"S3          {self.s3.endpoint_url}  access key {s3.ACCESS_KEY}, secret key {self._secrets['s3']}\n"
            f"PostgreSQL  {self.postgres.url(SOURCE_DATABASE)}\n"
            f"for the quire and airflow commands: source {self.folder / 'environment'}; for quire alone:\n"
            f"{_exports(self._connections())}"
        )

    def _start_parts(self) -> None:
        self._start_part("postgresql")
        self.postgres.create_database(AIRFLOW_DATABASE, private=True)
        self.postgres.create_database(SOURCE_DATABASE)
        self._start_part("s3")
        load_flights(self.postgres.url(SOURCE_DATABASE), reader_password=self._secrets["reader"])
        self._start_part("airflow")

    def _start_part(self, name: str) -> None:
        if any_running(self._part(name).folder):  # in whole or in part: it is not ours to stop
            self._part(name).start()
            return
        self._tell(f"starting {PARTS[name]}")
        self._started.append(name)
        for _ in range(MOVES):
            try:
                self._part(name).start()
                return
            except StackError:
                self._part(name).stop()
                if not self._move(name):
                    raise
        self._part(name).start()

    def _move(self, name: str) -> bool:
        """Gives a part another port where somebody was quicker to listen on its own; returns whether that was so."""
        old = self._part(name).port
        new = free_port(old)
        if new == old:
            return False
        self._tell(f"port {old} was taken meanwhile: {name} listens on {new}")
        self._assemble(self._keep_ports({**self._ports(), name: new}))
        return True

    def _part(self, name: str) -> _Part:
        parts: dict[str, _Part] = {"postgresql": self.postgres, "s3": self.s3, "airflow": self.airflow}
        return parts[name]

    def _ports(self) -> dict[str, int]:
        return {name: self._part(name).port for name in PARTS}

    def _stop_parts(self, names: Iterable[str]) -> None:
        with (
            uninterrupted(),
            ExitStack() as stops,
        ):  # the last started first; where one cannot be stopped, the others are
            for name in names:
                stops.callback(self._part(name).stop)
            self._started = []

    def _assemble(self, ports: Mapping[str, int]) -> None:
        known = self._secrets
        self.postgres = PostgresServer(
            self.folder / "postgresql", password=known["postgresql"], port=ports["postgresql"], fast=self._fast
        )
        self.s3 = S3Server(self.folder / "s3", secret_key=known["s3"], port=ports["s3"])
        include = {"QUIRE_INCLUDE": str(include_folder().resolve())}  # the servers work in folders of their own
        connections = self.environment()
        variable = connection_variable(OWNER_CONNECTION)
        owner = {variable: connections.pop(variable)}
        self.airflow = AirflowServer(
            self.folder / "airflow",
            database_url=self.postgres.url(AIRFLOW_DATABASE),
            secrets={
                "password": known["airflow"],
                "fernet_key": known["fernet_key"],
                "jwt_secret": known["jwt_secret"],
            },
            environment={**include, **connections, **self._environment},
            task_environment=owner,  # of housekeeping, which compacts change logs
            port=ports["airflow"],
        )

    def _known_ports(self) -> dict[str, int] | None:
        """Returns the ports of a stack that runs, if only in part."""
        if not any(any_running(folder) for folder in self.folder.iterdir() if folder.is_dir()):
            return None
        found: dict[str, int] = json.loads((self.folder / "ports.json").read_text())
        return found

    def _choose_ports(self) -> dict[str, int]:
        ports = dict(zip(USUAL_PORTS, free_ports(*USUAL_PORTS.values()), strict=True))
        for name, port in ports.items():
            if port != USUAL_PORTS[name]:
                self._tell(f"port {USUAL_PORTS[name]} is taken: {name} listens on {port}")
        return self._keep_ports(ports)

    def _keep_ports(self, ports: dict[str, int]) -> dict[str, int]:
        _write_secret(self.folder / "ports.json", json.dumps(ports))
        return ports

    def _connections(self) -> dict[str, str]:
        return {**self.environment(), **direct_environment(process_environment())}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Lets one process at a time start or stop."""
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._tell("waiting for another that starts or stops this stack")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _exports(variables: Mapping[str, str]) -> str:
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def _keep_secrets(path: Path) -> dict[str, str]:
    """Returns this stack's secrets, drawn where there are none yet."""
    try:
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    except ValueError as error:
        raise StackError(f"{path} is damaged: remove the folder {path.parent}") from error
    drawn = {name: secrets.token_urlsafe(18) for name in SECRETS}
    drawn |= {"jwt_secret": secrets.token_urlsafe(64), "fernet_key": new_fernet_key(secrets.token_bytes(32))}
    if drawn.keys() - known.keys():
        _write_secret(path, json.dumps({**drawn, **known}))
    return {**drawn, **known}


def _write_secret(path: Path, text: str) -> None:
    """Writes a file that is whole or not there, and its owner's alone from the first moment."""
    whole = path.with_name(f".{path.name}.part")
    whole.unlink(missing_ok=True)
    with open(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    whole.replace(path)

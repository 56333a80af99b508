"""The three servers under one folder: started together, joined by whoever comes second, stopped together."""

from __future__ import annotations

import fcntl
import json
import secrets
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from quire.local_stack import airflow, postgres, s3
from quire.local_stack.airflow import ADMIN, AirflowServer, new_fernet_key
from quire.local_stack.flights import READER, load_flights
from quire.local_stack.postgres import PostgresServer
from quire.local_stack.processes import any_running, free_port
from quire.local_stack.s3 import S3Server

USUAL_PORTS = {"postgresql": postgres.USUAL_PORT, "s3": s3.USUAL_PORT, "airflow": airflow.USUAL_PORT}
SOURCE_DATABASE, AIRFLOW_DATABASE = "flights", "airflow"


class LocalStack:
    """PostgreSQL, S3 and Airflow under ``folder``, with secrets of their own.

    Args:
        folder: everything of it; made where it is missing.
        fast: whether PostgreSQL may lose data in a crash, as in tests.
        environment: more for Airflow's tasks, over what the stack itself sets.
        tell: called with each port that had to be another than the usual one.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fast: bool = False,
        environment: Mapping[str, str] | None = None,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._secrets = _kept(folder / "secrets.json", _new_secrets)
        ports = self._ports(tell)
        self.postgres = PostgresServer(
            folder / "postgresql", password=self._secrets["postgresql"], port=ports["postgresql"], fast=fast
        )
        self.s3 = S3Server(folder / "s3", secret_key=self._secrets["s3"], port=ports["s3"])
        self.airflow = AirflowServer(
            folder / "airflow",
            database_url=self.postgres.url(AIRFLOW_DATABASE),
            secrets={
                "password": self._secrets["airflow"],
                "fernet_key": self._secrets["fernet_key"],
                "jwt_secret": self._secrets["jwt_secret"],
            },
            environment={**self.environment(), **(environment or {})},
            port=ports["airflow"],
        )

    @property
    def running(self) -> bool:
        """Whether all of it runs."""
        return self.postgres.running and self.s3.running and self.airflow.running

    def environment(self) -> dict[str, str]:
        """Returns the connections, as the ``quire`` command and Airflow read them."""
        return {
            "AIRFLOW_CONN_QUIRE_SOURCE": self.postgres.url(
                SOURCE_DATABASE, user=READER, password=self._secrets["reader"]
            ),
            "AIRFLOW_CONN_QUIRE_OWNER": self.postgres.url(SOURCE_DATABASE),
            "AIRFLOW_CONN_QUIRE_STORE": self.s3.connection,
        }

    def start(self, tell: Callable[[str], None] = lambda line: None) -> None:
        """Starts what does not run, loads the flights, and writes ``environment`` for shells.

        Raises:
            StackError: a server cannot be started.
        """
        with self._alone():
            tell("PostgreSQL")
            self.postgres.start()
            self.postgres.create_database(AIRFLOW_DATABASE)
            self.postgres.create_database(SOURCE_DATABASE)
            tell("S3")
            self.s3.start()
            tell("the flights of 2013")
            load_flights(self.postgres.url(SOURCE_DATABASE), reader_password=self._secrets["reader"])
            tell("Airflow")
            self.airflow.start()
            lines = [f"export {name}={shlex.quote(value)}\n" for name, value in self.environment().items()]
            _write_secret(self.folder / "environment", "".join(lines))

    def stop(self) -> None:
        """Stops what was started under this folder, and nothing else."""
        with self._alone():
            self.airflow.stop()
            self.s3.stop()
            self.postgres.stop()

    def description(self) -> str:
        """Returns its addresses and passwords, for whoever started it."""
        return (
            f"Airflow     {self.airflow.url}  user {ADMIN}, password {self._secrets['airflow']}\n"
            f"S3          {self.s3.endpoint_url}  access key {s3.ACCESS_KEY}, secret key {self._secrets['s3']}\n"
            f"PostgreSQL  {self.postgres.url(SOURCE_DATABASE)}\n"
            f"for the quire command:  source {self.folder / 'environment'}"
        )

    def _ports(self, tell: Callable[[str], None]) -> dict[str, int]:
        """Returns the ports of the running stack, or those that a new one will have."""
        path = self.folder / "ports.json"
        if path.exists() and any_running(self.folder):
            found: dict[str, int] = json.loads(path.read_text())
            return found
        ports = {name: free_port(port) for name, port in USUAL_PORTS.items()}
        for name, port in ports.items():
            if port != USUAL_PORTS[name]:
                tell(f"port {USUAL_PORTS[name]} is taken: {name} listens on {port}")
        path.write_text(json.dumps(ports))
        return ports

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Lets one process at a time start or stop."""
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _new_secrets() -> dict[str, str]:
    words = {name: secrets.token_urlsafe(18) for name in ("postgresql", "reader", "s3", "airflow", "jwt_secret")}
    return {**words, "fernet_key": new_fernet_key(secrets.token_bytes(32))}


def _kept(path: Path, make: Callable[[], dict[str, str]]) -> dict[str, str]:
    if not path.exists():
        _write_secret(path, json.dumps(make()))
    found: dict[str, str] = json.loads(path.read_text())
    return found


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)

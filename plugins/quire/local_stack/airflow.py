"""Airflow on this machine: its components with the LocalExecutor, and its REST API.

The components are started one by one, since ``airflow standalone`` also serves logs on every interface.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from quire.errors import StackError
from quire.local_stack.processes import LOOPBACK, Server, free_port
from quire.settings import CLONE

USUAL_PORT = 8080
ADMIN = "admin"
COMPONENTS = {
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}


class AirflowServer:
    """Airflow under ``folder``, listening on loopback.

    Args:
        folder: its home, logs and records; made where it is missing.
        database_url: libpq address of its own database.
        secrets: ``password`` of the user admin, ``fernet_key``, ``jwt_secret``.
        environment: what tasks need besides, such as connections.
        port: a free one by default.
    """

    def __init__(
        self,
        folder: Path,
        *,
        database_url: str,
        secrets: Mapping[str, str],
        environment: Mapping[str, str],
        port: int | None = None,
    ) -> None:
        self.folder, self.port = folder, port or free_port()
        self._password = secrets["password"]
        self._secrets, self._database_url, self._environment = secrets, database_url, environment
        self._api = Server("api-server", folder)
        self._servers = [self._api, *(Server(name, folder) for name in COMPONENTS)]

    @property
    def running(self) -> bool:
        """Whether every component was started and not stopped."""
        return all(server.running for server in self._servers)

    @property
    def url(self) -> str:
        """The address of its pages and its API."""
        return f"http://{LOOPBACK}:{self.port}"

    def environment(self) -> dict[str, str]:
        """Returns what makes any ``airflow`` command speak of this Airflow."""
        passwords = self.folder / "passwords.json"
        return {
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__DAGS_FOLDER": str(CLONE / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(CLONE / "plugins"),
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__FERNET_KEY": self._secrets["fernet_key"],
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self._database_url.replace("://", "+psycopg2://", 1),
            "AIRFLOW__API__HOST": LOOPBACK,
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": self._secrets["jwt_secret"],
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
            "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **self._environment,
        }

    def start(self) -> None:
        """Starts every component and waits until the API answers and the reports are there.

        Raises:
            StackError: one cannot be started.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        passwords = self.folder / "passwords.json"
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({ADMIN: self._password}))
        environment = self.environment()
        self._migrate(environment)
        program = [sys.executable, "-m", "airflow"]
        self._api.start([*program, "api-server", "--host", LOOPBACK, "--port", str(self.port)], environment=environment)
        for server in self._servers[1:]:
            server.start([*program, *COMPONENTS[server.name]], environment=environment)
        self._api.wait(self._answers, seconds=120)
        for server in self._servers[1:]:
            server.wait(self._knows_dags, seconds=120)

    def stop(self) -> None:
        """Stops every component; running tasks end with them."""
        for server in reversed(self._servers):
            server.stop(seconds=20)

    def client(self) -> httpx.Client:
        """Returns a client of the REST API, signed in as admin."""
        credentials = {"username": ADMIN, "password": self._password}
        answer = httpx.post(f"{self.url}/auth/token", json=credentials, timeout=30)
        answer.raise_for_status()
        token = answer.json()["access_token"]
        return httpx.Client(base_url=f"{self.url}/api/v2", headers={"Authorization": f"Bearer {token}"}, timeout=30)

    def _migrate(self, environment: Mapping[str, str]) -> None:
        log = self.folder / "migrate.log"
        with log.open("wb") as file:
            done = subprocess.run(
                [sys.executable, "-m", "airflow", "db", "migrate"],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                check=False,
            )
        if done.returncode:
            raise StackError(f"Airflow's database cannot be made: see {log}")

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/api/v2/version", timeout=5).is_success
        except httpx.TransportError:
            return False

    def _knows_dags(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.get("/dags", params={"limit": 1}).raise_for_status().json()["total_entries"])
        except httpx.HTTPError:
            return False


def new_fernet_key(random: bytes) -> str:
    """Returns 32 random bytes as Airflow takes them."""
    return base64.urlsafe_b64encode(random).decode()


def trigger(client: httpx.Client, dag_id: str, conf: Mapping[str, Any]) -> str:
    """Starts a run and returns its id.

    Raises:
        StackError: Airflow refuses it, with its reason.
    """
    answer = client.post(f"/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": dict(conf)})
    if answer.is_error:
        raise StackError(f"Airflow does not start {dag_id}: {answer.text[:300]}")
    return str(answer.json()["dag_run_id"])


def task_states(client: httpx.Client, dag_id: str, run_id: str) -> list[tuple[str, int, str | None]]:
    """Returns each task instance of a run: task, map index, state."""
    answer = client.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", params={"limit": 500}).raise_for_status()
    return [(task["task_id"], task["map_index"], task["state"]) for task in answer.json()["task_instances"]]


def run_state(client: httpx.Client, dag_id: str, run_id: str) -> str:
    """Returns a run's state: queued, running, success or failed."""
    return str(client.get(f"/dags/{dag_id}/dagRuns/{run_id}").raise_for_status().json()["state"])


def returned(client: httpx.Client, dag_id: str, run_id: str, task_id: str) -> Any:
    """Returns what a task of a run returned."""
    path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
    return client.get(path, params={"deserialize": False}).raise_for_status().json()["value"]

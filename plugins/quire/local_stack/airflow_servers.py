"""Airflow on this machine: its components with the LocalExecutor, and its REST API.

The components are started one by one, since ``airflow standalone`` also serves logs on every interface.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from quire.errors import StackError
from quire.local_stack.environment import own_environment
from quire.local_stack.ports import LOOPBACK, free_port
from quire.local_stack.processes import Server
from quire.report.catalog import load_catalog
from quire.settings import CLONE, include_folder, process_environment

USUAL_PORT = 8080
ADMIN = "admin"
PAGE = 100  # Airflow's own limit: more is silently cut to it
SECONDS_TO_MIGRATE = 300
SECONDS_TO_START = 120
MAX_TASK_SECONDS = 24 * 3600  # seconds: a task speaks with the API for as long, 10 minutes by default
HEALTHY_PARTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
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
        environment: what every component needs besides, such as connections.
        task_environment: what tasks alone need, which the scheduler runs.
        port: a free one by default.
    """

    def __init__(
        self,
        folder: Path,
        *,
        database_url: str,
        secrets: Mapping[str, str],
        environment: Mapping[str, str],
        task_environment: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        self.folder, self.port = folder, port or free_port()
        self._password = secrets["password"]
        self._secrets, self._database_url, self._environment = secrets, database_url, environment
        self._own_environments = {"scheduler": task_environment or {}}
        self._api = Server("api-server", folder)
        self._servers = [self._api, *(Server(name, folder) for name in COMPONENTS)]

    @property
    def running(self) -> bool:
        """Whether every component was started and not stopped."""
        return all(server.running for server in self._servers)

    @property
    def well(self) -> bool:
        """Whether every component is well, and it is ours that answers: who has taken the port knows no password."""
        try:
            with self.client(seconds=5) as client, _told_errors("tell of its health"):
                health = client.get("/monitor/health").raise_for_status().json()
        except StackError:
            return False
        return all(health[part]["status"] == "healthy" for part in HEALTHY_PARTS)

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
            "AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME": str(MAX_TASK_SECONDS),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
            "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **self._environment,
        }

    def start(self) -> None:
        """Starts every component that does not run, and waits until all are well and every report has its DAG.

        Raises:
            StackError: one cannot be started.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        passwords = self.folder / "passwords.json"
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({ADMIN: self._password}))
        environment = self.environment()
        if not self.running:
            self._migrate(environment)
        if not self._api.running and free_port(self.port) != self.port:  # half a minute later it would find out itself
            raise StackError(f"port {self.port} is taken: Airflow cannot listen there")
        program = [sys.executable, "-m", "airflow"]
        self._api.start([*program, "api-server", "--host", LOOPBACK, "--port", str(self.port)], environment=environment)
        for server in self._servers[1:]:
            own = self._own_environments.get(server.name, {})
            server.start([*program, *COMPONENTS[server.name]], environment={**environment, **own})
        self._wait(lambda: self.well, "not every component is well")
        reports = set(load_catalog(include_folder(environment)).definitions)
        self._wait(lambda: reports <= self._dags(), "not every report has its DAG")

    def require(self) -> None:
        """Raises StackError, with its log's last line, where a component is gone."""
        for server in self._servers:
            server.require()

    def stop(self) -> None:
        """Stops every component; tasks that run are told to end, and have a few seconds for it."""
        for server in self._servers[1:]:
            server.ask_to_stop()
        for server in self._servers[1:]:
            server.finish(seconds=15)
        self._api.stop(seconds=10)  # last, since tasks tell it how they ended

    def client(self, *, seconds: float = 30) -> httpx.Client:
        """Returns a client of the REST API, signed in as admin, which waits ``seconds`` for an answer.

        Raises:
            StackError: it does not answer, or knows another password.
        """
        credentials = {"username": ADMIN, "password": self._password}
        with _told_errors("sign in"):
            answer = httpx.post(f"{self.url}/auth/token", json=credentials, timeout=seconds, trust_env=False)
            token = answer.raise_for_status().json()["access_token"]
        return httpx.Client(
            base_url=f"{self.url}/api/v2",
            headers={"Authorization": f"Bearer {token}"},
            timeout=seconds,
            trust_env=False,  # no proxy stands between us and loopback
        )

    def _migrate(self, environment: Mapping[str, str]) -> None:
        log = self.folder / "migrate.log"
        try:
            with log.open("wb") as file:
                subprocess.run(
                    [sys.executable, "-m", "airflow", "db", "migrate"],
                    env={**own_environment(process_environment()), **environment},
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    timeout=SECONDS_TO_MIGRATE,
                    check=True,
                )
        except subprocess.SubprocessError as error:
            raise StackError(f"Airflow's database cannot be made: see {log}") from error

    def _wait(self, ready: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while not ready():
            self.require()
            if time.monotonic() > deadline:
                raise StackError(f"Airflow: {otherwise} after {SECONDS_TO_START} s: {self._import_error()}")
            time.sleep(0.2)

    def _dags(self) -> set[str]:
        with self.client() as client:
            return {dag["dag_id"] for dag in _all(client, "/dags", "dags")}

    def _import_error(self) -> str:
        try:
            with self.client() as client:
                errors = _all(client, "/importErrors", "import_errors")
        except StackError:
            errors = []
        last = str(errors[0]["stack_trace"]).strip().splitlines()[-1:] if errors else []
        return last[0] if last else f"see the logs in {self.folder}"


def new_fernet_key(random: bytes) -> str:
    """Returns 32 random bytes as Airflow takes them."""
    return base64.urlsafe_b64encode(random).decode()


def trigger(client: httpx.Client, dag_id: str, conf: Mapping[str, Any]) -> str:
    """Starts a run and returns its id.

    Raises:
        StackError: Airflow refuses it, with its reason.
    """
    with _told_errors(f"start {dag_id}"):
        answer = client.post(f"/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": dict(conf)})
        return str(answer.raise_for_status().json()["dag_run_id"])


def is_paused(client: httpx.Client, dag_id: str) -> bool:
    """Whether runs of a DAG would wait until somebody lets them."""
    with _told_errors(f"tell of {dag_id}"):
        return bool(client.get(f"/dags/{dag_id}").raise_for_status().json()["is_paused"])


def fail_run(client: httpx.Client, dag_id: str, run_id: str) -> None:
    """Ends a run and its tasks."""
    with _told_errors(f"end {run_id}"):
        client.patch(f"/dags/{dag_id}/dagRuns/{run_id}", json={"state": "failed"}).raise_for_status()


def task_states(client: httpx.Client, dag_id: str, run_id: str) -> list[tuple[str, int, str | None]]:
    """Returns each task instance of a run: task, map index, state."""
    tasks = _all(client, f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", "task_instances")
    return [(task["task_id"], task["map_index"], task["state"]) for task in tasks]


def run_state(client: httpx.Client, dag_id: str, run_id: str) -> str:
    """Returns a run's state: queued, running, success or failed."""
    with _told_errors(f"tell of {run_id}"):
        return str(client.get(f"/dags/{dag_id}/dagRuns/{run_id}").raise_for_status().json()["state"])


def returned(client: httpx.Client, dag_id: str, run_id: str, task_id: str) -> Any:
    """Returns what a task of a run returned."""
    path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
    with _told_errors(f"tell what {task_id} returned"):
        return client.get(path, params={"deserialize": False}).raise_for_status().json()["value"]


def _all(client: httpx.Client, path: str, name: str) -> list[dict[str, Any]]:
    """Returns every entry of a collection, page by page."""
    found: list[dict[str, Any]] = []
    while True:
        with _told_errors(f"list {name}"):
            page = client.get(path, params={"limit": PAGE, "offset": len(found)}).raise_for_status().json()
        found += page[name]
        if not page[name] or len(found) >= page["total_entries"]:
            return found


@contextmanager
def _told_errors(what: str) -> Iterator[None]:
    """Turns httpx's errors into one line of ours."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        answer = error.response
        raise StackError(f"Airflow does not {what}: {answer.status_code} {answer.text[:300]}") from error
    except httpx.HTTPError as error:
        raise StackError(f"Airflow does not answer when asked to {what}: {error}") from error

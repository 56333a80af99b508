"""Runs Airflow's components with the LocalExecutor on loopback.

Quire starts the components separately, because ``airflow standalone`` also serves logs on every network interface.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from quire.airflow_api.transports import sign_in
from quire.dev_stack.airflow_runs import airflow_errors, component_health, dag_ids, import_errors
from quire.dev_stack.environment import own_environment
from quire.dev_stack.ports import LOOPBACK, free_port
from quire.dev_stack.processes import Server
from quire.errors import StackError
from quire.report.catalog import load_catalog
from quire.settings import CLONE, include_folder, process_environment

DEFAULT_PORT = 8080
ADMIN = "admin"
MIGRATION_TIMEOUT = 300
START_TIMEOUT = 120
TASK_TOKEN_LIFETIME = 24 * 3600  # seconds; long tasks take more than Airflow's default of 10 minutes
REQUIRED_COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
COMPONENTS = {
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}


class AirflowServer:
    """An Airflow that has its home in ``folder`` and listens on loopback.

    Args:
        folder: AIRFLOW_HOME, which also contains the logs and process records. ``start`` creates it if missing.
        database_url: the metadata database's libpq URL.
        secrets: the admin user's ``password``, the ``fernet_key`` and the ``jwt_secret``.
        environment: additional variables for every component, such as connections.
        task_environment: variables only for the scheduler and its tasks.
        port: the API server's port. The default is any free port.
        python: the path to a Python interpreter with Airflow installed.
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
        python: str = sys.executable,
    ) -> None:
        self.folder, self.port, self._program = folder, port or free_port(), [python, "-m", "airflow"]
        self._password = secrets["password"]
        self._secrets, self._database_url, self._environment = secrets, database_url, environment
        self._component_environments = {"scheduler": task_environment or {}}
        self._api = Server("api-server", folder)
        self._servers = [self._api, *(Server(name, folder) for name in COMPONENTS)]

    @property
    def running(self) -> bool:
        """Whether every component is running."""
        return all(server.running for server in self._servers)

    @property
    def healthy(self) -> bool:
        """Whether every component is healthy. False if another Airflow uses the port and rejects the password."""
        try:
            with self.client(seconds=5) as client:
                health = component_health(client)
        except StackError:
            return False
        return all(health[component] == "healthy" for component in REQUIRED_COMPONENTS)

    @property
    def url(self) -> str:
        """The base URL for Airflow's pages and API."""
        return f"http://{LOOPBACK}:{self.port}"

    def environment(self) -> dict[str, str]:
        """Returns the environment variables with which an ``airflow`` command uses this Airflow."""
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
            "AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME": str(TASK_TOKEN_LIFETIME),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
            "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",  # with the default of 1 s, every stage starts late
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **self._environment,
        }

    def start(self) -> None:
        """Starts missing components, then waits until all components are healthy and every report has a DAG.

        Raises:
            StackError: a component does not start.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        passwords = self.folder / "passwords.json"
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({ADMIN: self._password}))
        environment = self.environment()
        if not self.running:
            self._migrate(environment)
        if not self._api.running and free_port(self.port) != self.port:  # Airflow itself would fail 30 s later
            raise StackError(f"port {self.port} is in use, so Airflow cannot start")
        self._api.start(
            [*self._program, "api-server", "--host", LOOPBACK, "--port", str(self.port)], environment=environment
        )
        for server in self._servers[1:]:
            component_environment = {**environment, **self._component_environments.get(server.name, {})}
            server.start(
                [*self._program, *COMPONENTS[server.name]],
                environment=component_environment,
                is_urgent=server.name != "dag-processor",  # readers wait for tasks, and nobody waits for it
            )
        self._wait(lambda: self.healthy, "not every component is healthy")
        reports = set(load_catalog(include_folder(environment)).definitions)
        self._wait(lambda: reports <= self._dag_ids(), "not every report has a DAG")

    def ensure_running(self) -> None:
        """Checks that every component is running.

        Raises:
            StackError: a component has exited. The message contains the last line from the component's log.
        """
        for server in self._servers:
            server.ensure_running()

    def stop(self) -> None:
        """Stops every component. Running tasks receive SIGTERM and then have a few seconds to finish."""
        for server in self._servers[1:]:
            server.send_stop_signal()
        for server in self._servers[1:]:
            server.wait_until_stopped(seconds=15)
        self._api.stop(seconds=10)  # stops last, because tasks report their final state to it

    def client(self, *, seconds: float = 30) -> httpx.Client:
        """Returns a client for the REST API that is signed in as admin.

        Args:
            seconds: the timeout for each request.

        Raises:
            StackError: Airflow is unreachable or rejects the password.
        """
        with airflow_errors("sign in to Airflow"):
            return sign_in(self.url, user=ADMIN, password=self._password, seconds=seconds)

    def _migrate(self, environment: Mapping[str, str]) -> None:
        log = self.folder / "migrate.log"
        try:
            with log.open("wb") as file:
                subprocess.run(
                    [*self._program, "db", "migrate"],
                    env={**own_environment(process_environment()), **environment},
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    timeout=MIGRATION_TIMEOUT,
                    check=True,
                )
        except subprocess.SubprocessError as error:
            raise StackError(f"Airflow's database migration failed: see {log}") from error

    def _wait(self, ready: Callable[[], bool], problem: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not ready():
            self.ensure_running()
            if time.monotonic() > deadline:
                raise StackError(f"Airflow: {problem} after {START_TIMEOUT} s: {self._import_error()}")
            time.sleep(0.2)

    def _dag_ids(self) -> set[str]:
        with self.client() as client:
            return dag_ids(client)

    def _import_error(self) -> str:
        try:
            with self.client() as client:
                stack_traces = import_errors(client)
        except StackError:
            stack_traces = []
        last_lines = stack_traces[0].strip().splitlines()[-1:] if stack_traces else []
        return last_lines[0] if last_lines else f"see the logs in {self.folder}"


def new_fernet_key(random: bytes) -> str:
    """Encodes 32 random bytes as a key that Airflow accepts."""
    return base64.urlsafe_b64encode(random).decode()

"""The running stack: its Airflow, its store as the host reaches it, its containers."""

from __future__ import annotations

import hashlib
import time
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import httpx
from quire.object_store import ObjectStore
from quire.settings import StoreSettings

from tests.container.engine import Project

SECONDS_TO_START = 600
SECONDS_OF_A_RUN = 900
ENDED = ("success", "failed")
DATA_PARTS = ("xl/worksheets/", "xl/sharedStrings.xml")
RUNS_ON = ("running", "healthy")


class ContainerStack:
    """A stack.

    Args:
        project: its containers.
        settings: what its .env says.
    """

    def __init__(self, project: Project, *, settings: Mapping[str, str]) -> None:
        self.project, self._settings = project, settings
        self.url = settings["AIRFLOW_PUBLIC_URL"]
        self.store_url = f"http://localhost:{settings['S3_PORT']}"

    def client(self) -> httpx.Client:
        """Returns a client of Airflow and of the portal in it."""
        credentials = {"username": self._settings["QUIRE_ADMIN"], "password": self._settings["QUIRE_ADMIN_PASSWORD"]}
        answer = httpx.post(f"{self.url}/auth/token", json=credentials, timeout=60).raise_for_status()
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def store(self) -> ObjectStore:
        """Returns the bucket, as it is reached from the host."""
        key = self._settings["S3_PASSWORD"]
        return ObjectStore(
            StoreSettings(
                bucket="quire", access_key="quire", secret_key=key, endpoint_url=self.store_url, region_name="us-east-1"
            )
        )

    def wait_until_ready(self, *, workers: int) -> None:
        """Waits until every worker answers Celery, and both reports have their DAGs."""
        deadline = time.monotonic() + SECONDS_TO_START

        def ready() -> bool:
            try:
                with self.client() as client:
                    found = {dag["dag_id"] for dag in client.get("/api/v2/dags").raise_for_status().json()["dags"]}
            except httpx.HTTPError:
                return False
            return {"flights", "many"} <= found and self.workers_that_answer() >= workers

        wait_for(ready, deadline=deadline, what=lambda: self.project.compose("ps"))

    def workers_that_answer(self) -> int:
        """Returns how many workers wait for tasks."""
        ready = 0
        for container in self.project.containers("airflow-worker"):
            state = self.project.state(container)["State"]
            ready += state["Status"] == "running" and state["Health"]["Status"] == "healthy"
        return ready

    def containers_by_hostname(self) -> dict[str, str]:
        """Returns each worker's container by the name that Airflow knows it by."""
        ids = self.project.containers("airflow-worker")
        return {str(self.project.state(found)["Config"]["Hostname"]): found for found in ids}

    def trigger(self, client: httpx.Client, report: str, **conf: Any) -> str:
        """Starts a run over Airflow's API and returns its id."""
        asked = {"logical_date": None, "conf": conf}
        answer = client.post(f"/api/v2/dags/{report}/dagRuns", json=asked)
        return str(answer.raise_for_status().json()["dag_run_id"])

    def finish(self, client: httpx.Client, report: str, run_id: str) -> dict[str, Any]:
        """Waits until a run is over, and returns what publish returned."""
        path = f"/api/v2/dags/{report}/dagRuns/{run_id}"
        deadline = time.monotonic() + SECONDS_OF_A_RUN
        state = ""

        def over() -> bool:
            nonlocal state
            try:
                state = client.get(path).raise_for_status().json()["state"]
            except httpx.TransportError:
                return False
            return state in ENDED

        wait_for(over, deadline=deadline, what=lambda: str(self.tasks(client, report, run_id)))
        assert state == "success", self.tasks(client, report, run_id)
        entry = client.get(f"{path}/taskInstances/publish/xcomEntries/return_value", params={"deserialize": False})
        found: dict[str, Any] = entry.raise_for_status().json()["value"]
        return found

    def tasks(self, client: httpx.Client, report: str, run_id: str) -> list[dict[str, Any]]:
        """Returns what Airflow knows of a run's tasks."""
        path = f"/api/v2/dags/{report}/dagRuns/{run_id}/taskInstances"
        listed = client.get(path, params={"limit": 100}).raise_for_status().json()["task_instances"]
        kept = ("task_id", "map_index", "state", "hostname", "try_number", "duration")
        return [{name: task[name] for name in kept} for task in listed]

    def host_of_upload(self, client: httpx.Client, report: str, run_id: str) -> str:
        """Waits until a render has uploaded parts of its file, and returns its worker's name."""
        store, prefix = self.store(), f"reports/{report}/"

        def uploads() -> bool:
            listed = store.client.list_multipart_uploads(Bucket=store.bucket, Prefix=prefix).get("Uploads", [])
            return any(
                store.client.list_parts(Bucket=store.bucket, Key=found["Key"], UploadId=found["UploadId"]).get("Parts")
                for found in listed
            )

        wait_for(uploads, deadline=time.monotonic() + SECONDS_OF_A_RUN, what=lambda: "no render uploads anything")
        tasks = self.tasks(client, report, run_id)
        return next(
            str(task["hostname"]) for task in tasks if (task["task_id"], task["state"]) == ("render", "running")
        )

    def objects(self, report: str) -> set[str]:
        """Returns the keys of everything that belongs to runs of a report."""
        return {entry.key for entry in self.store().list(f"reports/{report}/")}


def wait_for(done: Callable[[], bool], *, deadline: float, what: Callable[[], str]) -> None:
    """Waits until something is so."""
    while not done():
        assert time.monotonic() < deadline, what()
        time.sleep(0.5)


def digests_of_cells(body: bytes) -> dict[str, str]:
    """Returns a digest of each sheet of rows and of the shared strings: of every cell of the workbook but About's."""
    with zipfile.ZipFile(BytesIO(body)) as package:
        names = [name for name in package.namelist() if name.startswith(DATA_PARTS) and name.endswith(".xml")]
        found = {}
        for name in names:
            with package.open(name) as part:
                found[name] = hashlib.file_digest(part, "sha256").hexdigest()  # type: ignore[arg-type]
    return found

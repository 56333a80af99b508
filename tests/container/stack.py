"""Provides access to a running stack: to Airflow, to the containers, and, from the host, to the store."""

from __future__ import annotations

import hashlib
import re
import subprocess
import time
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any
from xml.sax.saxutils import unescape

import httpx
from python_calamine import CalamineWorkbook
from quire.object_store.s3_store import S3Store
from quire.settings import StoreSettings

from tests.container.engine import Project

SECONDS_TO_START = 600
SECONDS_OF_A_RUN = 900
ENDED = ("success", "failed")
LARGE_REPORTS = ("many", "single_task")  # each with one large workbook; the latter always runs in one task
SHEET = re.compile(r"xl/worksheets/sheet\d+\.xml")
MIN_SHEET_BYTES = 1_000_000
CELERY = "airflow.providers.celery.executors.celery_executor.app"


class ContainerStack:
    """A running stack.

    Args:
        project: the stack's containers.
        settings: the settings in the stack's .env file.
    """

    def __init__(self, project: Project, *, settings: Mapping[str, str]) -> None:
        self.project, self._settings = project, settings
        self.url = settings["AIRFLOW_PUBLIC_URL"]
        self.store_url = f"http://localhost:{settings['S3_PORT']}"

    def client(self) -> httpx.Client:
        """Returns a client for Airflow and the portal."""
        credentials = {"username": self._settings["QUIRE_ADMIN"], "password": self._settings["QUIRE_ADMIN_PASSWORD"]}
        answer = httpx.post(f"{self.url}/auth/token", json=credentials, timeout=60).raise_for_status()
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def store(self) -> S3Store:
        """Returns a store that accesses the bucket from the host."""
        key = self._settings["S3_PASSWORD"]
        return S3Store(
            StoreSettings(
                bucket="quire", access_key="quire", secret_key=key, endpoint_url=self.store_url, region_name="us-east-1"
            )
        )

    def wait_until_ready(self, *, workers: int) -> None:
        """Waits until all workers respond to Celery and Airflow has all reports' DAGs."""
        deadline = time.monotonic() + SECONDS_TO_START

        def ready() -> bool:
            try:
                with self.client() as client:
                    dags = {dag["dag_id"] for dag in client.get("/api/v2/dags").raise_for_status().json()["dags"]}
            except httpx.HTTPError:
                return False
            return {"flights", *LARGE_REPORTS} <= dags and self.workers_that_answer() >= workers

        wait_for(ready, deadline=deadline, what=lambda: self.project.compose("ps"))

    def workers_that_answer(self) -> int:
        """Returns how many workers respond to Celery, because Docker runs health checks too rarely."""
        running = self.project.containers("airflow-worker")
        if not running:
            return 0
        ping = ["exec", running[0], "celery", "--app", CELERY, "inspect", "ping", "--timeout", "5"]
        answer = subprocess.run(["docker", *ping], capture_output=True, text=True, check=False)
        return answer.stdout.count("pong")

    def containers_by_hostname(self) -> dict[str, str]:
        """Returns the worker containers, keyed by their hostnames in Airflow."""
        ids = self.project.containers("airflow-worker")
        return {str(self.project.state(container)["Config"]["Hostname"]): container for container in ids}

    def trigger(self, client: httpx.Client, report: str, **conf: Any) -> str:
        """Starts a run through Airflow's API and returns its ID."""
        body = {"logical_date": None, "conf": conf}
        answer = client.post(f"/api/v2/dags/{report}/dagRuns", json=body)
        return str(answer.raise_for_status().json()["dag_run_id"])

    def wait_for_run(self, client: httpx.Client, dag_id: str, run_id: str) -> None:
        """Waits until a run has succeeded."""
        state = ""

        def has_ended() -> bool:
            nonlocal state
            try:
                state = client.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}").raise_for_status().json()["state"]
            except httpx.TransportError:
                return False
            return state in ENDED

        deadline = time.monotonic() + SECONDS_OF_A_RUN
        wait_for(has_ended, deadline=deadline, what=lambda: str(self.tasks(client, dag_id, run_id)))
        assert state == "success", self.tasks(client, dag_id, run_id)

    def finish(self, client: httpx.Client, report: str, run_id: str, *, task_id: str = "publish") -> dict[str, Any]:
        """Waits until a run has succeeded, and returns the result of the task that published it."""
        self.wait_for_run(client, report, run_id)
        entries = f"/api/v2/dags/{report}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries"
        entry = client.get(f"{entries}/return_value", params={"deserialize": False})
        result: dict[str, Any] = entry.raise_for_status().json()["value"]
        return result

    def tasks(self, client: httpx.Client, report: str, run_id: str) -> list[dict[str, Any]]:
        """Returns a run's tasks."""
        path = f"/api/v2/dags/{report}/dagRuns/{run_id}/taskInstances"
        listed = client.get(path, params={"limit": 100}).raise_for_status().json()["task_instances"]
        fields = ("task_id", "map_index", "state", "hostname", "try_number", "duration")
        return [{name: task[name] for name in fields} for task in listed]

    def uploads(self, report: str) -> set[tuple[str, str]]:
        """Returns each unfinished upload's key and ID."""
        store = self.store()
        listed = store.client.list_multipart_uploads(Bucket=store.bucket, Prefix=f"reports/{report}/")
        return {(upload["Key"], upload["UploadId"]) for upload in listed.get("Uploads", [])}

    def host_of_upload(
        self, client: httpx.Client, report: str, run_id: str, *, task_id: str, ignored: set[tuple[str, str]]
    ) -> str:
        """Waits until a task has uploaded part of its file, and returns the worker's hostname.

        Args:
            client: a client for Airflow.
            report: the report.
            run_id: the run.
            task_id: the task that renders the file.
            ignored: uploads to ignore, such as those from killed workers.
        """
        store = self.store()

        def uploads() -> bool:
            return any(
                store.client.list_parts(Bucket=store.bucket, Key=key, UploadId=upload).get("Parts")
                for key, upload in self.uploads(report) - ignored
            )

        wait_for(uploads, deadline=time.monotonic() + SECONDS_OF_A_RUN, what=lambda: f"{task_id} uploads nothing")
        tasks = self.tasks(client, report, run_id)
        return next(str(task["hostname"]) for task in tasks if (task["task_id"], task["state"]) == (task_id, "running"))

    def objects(self, report: str) -> set[str]:
        """Returns the keys of all objects that belong to a report's runs."""
        return {entry.key for entry in self.store().list(f"reports/{report}/")}


def wait_for(done: Callable[[], bool], *, deadline: float, what: Callable[[], str]) -> None:
    """Polls a condition until it is true; fails if the deadline passes first."""
    while not done():
        assert time.monotonic() < deadline, what()
        time.sleep(0.5)


def digests_of_cells(body: bytes) -> dict[str, str]:
    """Returns digests of the large sheets and the shared strings, ignoring strings that the About sheet uses.

    The About sheet contains the run's time, so the sheet's cells differ even between runs with the same rows.
    """
    about = CalamineWorkbook.from_filelike(BytesIO(body)).get_sheet_by_name("About").to_python()
    excluded = {str(cell) for row in about for cell in row}
    with zipfile.ZipFile(BytesIO(body)) as package:
        parts = [entry for entry in package.infolist() if SHEET.fullmatch(entry.filename)]
        digests = {part.filename: _digest(package, part) for part in parts if part.file_size > MIN_SHEET_BYTES}
        strings = re.findall(r"<si>(.*?)</si>", package.read("xl/sharedStrings.xml").decode(), re.DOTALL)
    texts = ["" if unescape(re.sub(r"<[^>]*>", "", text)) in excluded else text for text in strings]
    return {**digests, "strings": hashlib.sha256("\n".join(texts).encode()).hexdigest()}


def _digest(package: zipfile.ZipFile, part: zipfile.ZipInfo) -> str:
    digest = hashlib.sha256()
    with package.open(part) as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()

"""Calls Airflow's public REST API, which enforces the caller's permissions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from quire.airflow_api.transports import Transport
from quire.errors import TerminalError, TransientError

PAGE_SIZE = 100  # Airflow silently reduces larger limits to this value
MAX_PAGES = 100
FAIL_ATTEMPTS = 3
NEWEST_FIRST = ("-run_after", "-id")
RESERVED_RUN_IDS = (".", "..", "~")  # URL normalization removes the first two; the third matches every run


class NotFoundError(TerminalError):
    """The DAG, run, task or XCom does not exist."""


class RefusedError(TerminalError):
    """Airflow rejected the request with a 4xx status other than 404.

    Args:
        message: Airflow's message for the user.
        status: the HTTP status.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class AirflowUnavailableError(TransientError):
    """Airflow failed to process the request (5xx)."""


@dataclass(frozen=True, slots=True)
class AirflowApi:
    """A client that calls Airflow's API on behalf of one user. Its methods raise the three errors above.

    Args:
        transport: sends the requests.
        max_pages: the maximum number of pages to read for a method that returns an entire collection.
    """

    transport: Transport
    max_pages: int = MAX_PAGES

    async def health(self) -> dict[str, Any]:
        """Returns each component's health."""
        health: dict[str, Any] = await self._call("GET", "/monitor/health")
        return health

    async def import_errors(self) -> list[dict[str, Any]]:
        """Returns the DAG files that cannot be imported, with their stack traces."""
        return await self._all("/importErrors", "import_errors")

    async def dags(self) -> list[dict[str, Any]]:
        """Returns the DAGs with the ``quire`` tag that the caller is allowed to read."""
        return await self._all("/dags", "dags", tags="quire", exclude_stale=True)

    async def dag(self, dag_id: str) -> dict[str, Any]:
        """Returns a DAG."""
        dag: dict[str, Any] = await self._call("GET", f"/dags/{_encode(dag_id)}")
        return dag

    async def runs(self, dag_id: str, *, limit: int, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Returns a page of a DAG's runs, newest first, and how many runs the DAG has."""
        page = await self._call("GET", _dag_runs_path(dag_id), limit=limit, offset=offset, order_by=NEWEST_FIRST)
        return list(page["dag_runs"]), int(page["total_entries"])

    async def runs_between(self, dag_id: str, first: int, stop: int) -> tuple[list[dict[str, Any]], int]:
        """Returns a DAG's runs ``first`` to ``stop - 1``, counted from the newest, and how many runs the DAG has."""
        runs: list[dict[str, Any]] = []
        while True:
            offset = first + len(runs)
            page, total = await self.runs(dag_id, limit=min(PAGE_SIZE, stop - offset), offset=offset)
            runs += page
            if not page or first + len(runs) >= min(stop, total):
                return runs, total

    async def runs_named(self, dag_id: str, prefix: str) -> list[dict[str, Any]]:
        """Returns a DAG's newest runs whose IDs begin with ``prefix``."""
        # Airflow strips trailing punctuation from a prefix, so the response can contain runs that do not match.
        page = await self._call(
            "GET", _dag_runs_path(dag_id), run_id_prefix_pattern=prefix, limit=PAGE_SIZE, order_by=NEWEST_FIRST
        )
        return [run for run in page["dag_runs"] if run["dag_run_id"].startswith(prefix)]

    async def active_runs(self, dag_id: str, *, user: str, prefix: str) -> list[dict[str, Any]]:
        """Returns a user's active runs whose IDs begin with ``prefix``. ``~`` as the DAG ID includes every DAG."""
        # Airflow matches user names by prefix, so the response can contain other users' runs. The user's own runs can
        # therefore be on any page.
        runs = await self._all(
            f"/dags/{dag_id}/dagRuns", "dag_runs", state=["queued", "running"], run_id_prefix_pattern=prefix,
            triggering_user_name_prefix_pattern=user, order_by=["id"],
        )  # fmt: skip
        return [run for run in runs if run["triggering_user_name"] == user and run["dag_run_id"].startswith(prefix)]

    async def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Returns a run."""
        run: dict[str, Any] = await self._call("GET", _dag_run_path(dag_id, run_id))
        return run

    async def start_run(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Starts a run and returns the ID that Airflow assigns to it."""
        run = await self._start_run(dag_id, None, conf)
        return str(run["dag_run_id"])

    async def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> bool:
        """Starts a run with a given ID. Returns False if a run with this ID already exists."""
        try:
            await self._start_run(dag_id, run_id, conf)
        except RefusedError as error:
            if error.status == httpx.codes.CONFLICT:
                return False
            raise
        return True

    async def fail(self, dag_id: str, run_id: str, *, note: str | None = None) -> None:
        """Stops a run and its tasks, and marks the run as failed."""
        body = {"state": "failed", **({"note": note} if note else {})}
        for attempt in range(FAIL_ATTEMPTS):
            try:
                await self._call("PATCH", _dag_run_path(dag_id, run_id), json=body)
                return
            except AirflowUnavailableError:
                # The scheduler locks the same rows in a different order, so PostgreSQL can abort either transaction.
                if attempt == FAIL_ATTEMPTS - 1:
                    raise

    async def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Returns every task instance in a run."""
        tasks = await self._all(f"{_dag_run_path(dag_id, run_id)}/taskInstances", "task_instances")
        return [task for task in tasks if task["dag_run_id"] == run_id]

    async def tasks_in_state(
        self, dag_id: str, state: str, *, task_id: str | None, first: str, last: str, pages: int
    ) -> tuple[list[dict[str, Any]], bool]:
        """Returns the task instances in a state and whether the list is complete.

        Args:
            dag_id: the runs' DAG.
            state: the task instances' state.
            task_id: limits the list to this task. None includes every task.
            first: the earliest run's ``run_after``.
            last: the latest run's ``run_after``.
            pages: the maximum number of pages to read.
        """
        path, tasks = f"{_dag_runs_path(dag_id)}/~/taskInstances", list[dict[str, Any]]()
        query = {"state": state, "run_after_gte": first, "run_after_lte": last, "order_by": "id"}
        for _ in range(pages):
            page = await self._call(
                "GET", path, limit=PAGE_SIZE, offset=len(tasks), **query, **({"task_id": task_id} if task_id else {})
            )
            tasks += page["task_instances"]
            if not page["task_instances"] or len(tasks) >= page["total_entries"]:
                return tasks, True
        return tasks, False

    async def task_instance(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any] | None:
        """Returns a task instance, or None if it does not exist. The task must not be mapped."""
        path = f"{_dag_run_path(dag_id, run_id)}/taskInstances/{task_id}"
        try:
            task: dict[str, Any] = await self._call("GET", path)
        except NotFoundError:
            return None
        return task

    async def task_state(self, dag_id: str, run_id: str, task_id: str) -> str | None:
        """Returns a task's state, or None if it has none yet."""
        task = await self.task_instance(dag_id, run_id, task_id)
        return str(task["state"]) if task and task["state"] else None

    async def xcom(self, dag_id: str, run_id: str, task_id: str, *, key: str, map_index: int = -1) -> Any:
        """Returns an XCom's value, or None if the task has not pushed it."""
        path = f"{_dag_run_path(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries/{key}"
        try:
            return (await self._call("GET", path, map_index=map_index, stringify=False))["value"]
        except NotFoundError:
            return None

    async def _start_run(self, dag_id: str, run_id: str | None, conf: dict[str, Any]) -> Any:
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        return await self._call("POST", _dag_runs_path(dag_id), json=body)

    async def _all(self, path: str, name: str, **query: Any) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = []
        for _ in range(self.max_pages):
            page = await self._call("GET", path, limit=PAGE_SIZE, offset=len(entries), **query)
            entries += page[name]
            if not page[name] or len(entries) >= page["total_entries"]:
                return entries
        raise AirflowUnavailableError(f"Airflow has more than {len(entries):,} {name}")

    async def _call(self, method: str, path: str, *, json: Any = None, **query: Any) -> Any:
        response = await self.transport.send(method, path, params=query, json=json)
        if response.status_code == httpx.codes.NOT_FOUND:
            raise NotFoundError(_reason(response))
        if response.is_server_error:
            raise AirflowUnavailableError(_reason(response))
        if response.is_error:
            raise RefusedError(_reason(response), status=response.status_code)
        return response.json()


def is_run_id(run_id: str) -> bool:
    """Returns whether an ID identifies a single run in an Airflow API path."""
    return run_id not in RESERVED_RUN_IDS and run_id.isprintable()


def _dag_run_path(dag_id: str, run_id: str) -> str:
    if not is_run_id(run_id):
        raise NotFoundError(run_id)
    return f"{_dag_runs_path(dag_id)}/{_encode(run_id)}"


def _dag_runs_path(dag_id: str) -> str:
    return f"/dags/{_encode(dag_id)}/dagRuns"


def _encode(name: str) -> str:
    return quote(name, safe="")


def _reason(response: httpx.Response) -> str:
    try:
        detail = response.json().get("detail")
    except (ValueError, AttributeError):
        detail = None
    return detail if isinstance(detail, str) else f"Airflow responded with status {response.status_code}"

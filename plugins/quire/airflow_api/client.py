"""Airflow's public API, asked inside its own process, as whoever asks us: Airflow itself refuses what they may not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

PAGE = 100  # Airflow's own limit: more is silently cut to it
MAX_PAGES = 100  # of one answer that is read whole
RESERVED_RUN_IDS = (".", "..", "~")  # a path is normalized over the first two; the third is every run to Airflow
# Each of Airflow's routes takes a thread for its database session and then one for itself: with more of them at once
# than its pool has connections (15), threads that wait for a connection keep out those that would give one back.
_AT_ONCE = asyncio.Semaphore(8)


class NotFoundError(Exception):
    """Airflow has no such thing."""


class RefusedError(Exception):
    """Airflow refuses, with its status and reason.

    Args:
        status: of HTTP.
        reason: for the reader.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class AirflowApi:
    """One caller's view of Airflow. Every method raises NotFoundError or RefusedError.

    Args:
        host: the app that serves Airflow's API.
        token: of the caller.
    """

    host: Any
    token: str

    async def dags(self) -> list[dict[str, Any]]:
        """Returns the DAGs with the tag ``quire`` that the caller may read."""
        return await self._all("/dags", "dags", tags="quire", exclude_stale=True)

    async def dag(self, dag_id: str) -> dict[str, Any]:
        """Returns a DAG."""
        found: dict[str, Any] = await self._ask("GET", f"/dags/{_part(dag_id)}")
        return found

    async def runs(self, dag_id: str, *, limit: int, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Returns a DAG's runs, the newest first, without as many as ``offset``; and how many there are in all."""
        found = await self._ask("GET", _runs(dag_id), limit=limit, offset=offset, order_by=["-run_after", "-id"])
        return list(found["dag_runs"]), int(found["total_entries"])

    async def runs_between(self, dag_id: str, first: int, stop: int) -> tuple[list[dict[str, Any]], int]:
        """Returns a DAG's runs from one place in the order of the newest until before another; and how many in all."""
        found: list[dict[str, Any]] = []
        while True:
            offset = first + len(found)
            page, total = await self.runs(dag_id, limit=min(PAGE, stop - offset), offset=offset)
            found += page
            if not page or first + len(found) >= min(stop, total):
                return found, total

    async def runs_named(self, dag_id: str, prefix: str) -> list[dict[str, Any]]:
        """Returns the newest of a DAG's runs whose ids begin with ``prefix``."""
        # Airflow takes what is no letter or digit off the end of a prefix, and so may find more
        found = await self._ask(
            "GET", _runs(dag_id), run_id_prefix_pattern=prefix, limit=PAGE, order_by=["-run_after", "-id"]
        )
        return [run for run in found["dag_runs"] if run["dag_run_id"].startswith(prefix)]

    async def active_runs(self, dag_id: str, *, user: str, prefix: str) -> list[dict[str, Any]]:
        """Returns a user's active runs whose ids begin with ``prefix``; of every DAG for ``~``."""
        # Airflow compares names by their beginning, and so may return those of others: the user's may be on any page
        runs = await self._all(
            f"/dags/{dag_id}/dagRuns", "dag_runs", state=["queued", "running"], run_id_prefix_pattern=prefix,
            triggering_user_name_prefix_pattern=user, order_by=["id"],
        )  # fmt: skip
        return [run for run in runs if run["triggering_user_name"] == user and run["dag_run_id"].startswith(prefix)]

    async def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Returns a run."""
        found: dict[str, Any] = await self._ask("GET", f"{_run(dag_id, run_id)}")
        return found

    async def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> bool:
        """Starts a run; False where there is one of that id already."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        try:
            await self._ask("POST", _runs(dag_id), json=body)
        except RefusedError as error:
            if error.status == httpx.codes.CONFLICT:
                return False
            raise
        return True

    async def fail(self, dag_id: str, run_id: str, *, note: str) -> None:
        """Ends a run and its tasks."""
        await self._ask("PATCH", f"{_run(dag_id, run_id)}", json={"state": "failed", "note": note})

    async def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Returns every task instance of a run."""
        tasks = await self._all(f"{_run(dag_id, run_id)}/taskInstances", "task_instances")
        return [task for task in tasks if task["dag_run_id"] == run_id]

    async def tasks_in_state(
        self, dag_id: str, state: str, *, task_id: str | None, first: str, last: str, pages: int
    ) -> tuple[list[dict[str, Any]], bool]:
        """Returns task instances of the runs between two instants, and whether these are all.

        Args:
            dag_id: of the runs.
            state: of the task instances.
            task_id: of all of them; None for every task.
            first: ``run_after`` of the earliest run.
            last: ``run_after`` of the latest.
            pages: how many are read at most.
        """
        path, found = f"{_runs(dag_id)}/~/taskInstances", list[dict[str, Any]]()
        query = {"state": state, "run_after_gte": first, "run_after_lte": last, "order_by": "id"}
        for _ in range(pages):
            page = await self._ask(
                "GET", path, limit=PAGE, offset=len(found), **query, **({"task_id": task_id} if task_id else {})
            )
            found += page["task_instances"]
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                return found, True
        return found, False

    async def task_state(self, dag_id: str, run_id: str, task_id: str) -> str | None:
        """Returns the state of a task of a run; None where it has none yet."""
        path = _run(dag_id, run_id)
        try:
            found = await self._ask("GET", f"{path}/taskInstances/{task_id}")
        except NotFoundError:
            return None
        return str(found["state"]) if found["state"] else None

    async def xcom(self, dag_id: str, run_id: str, task_id: str, key: str, *, map_index: int = -1) -> Any:
        """Returns what a task has pushed; None where it has not."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries/{key}"
        try:
            return (await self._ask("GET", path, map_index=map_index, stringify=False))["value"]
        except NotFoundError:
            return None

    async def _all(self, path: str, name: str, **query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for _ in range(MAX_PAGES):
            page = await self._ask("GET", path, limit=PAGE, offset=len(found), **query)
            found += page[name]
            if not page[name] or len(found) >= page["total_entries"]:
                return found
        raise RefusedError(httpx.codes.SERVICE_UNAVAILABLE, f"Airflow has more than {len(found):,} {name}")

    async def _ask(self, method: str, path: str, *, json: Any = None, **query: Any) -> Any:
        transport = httpx.ASGITransport(self.host, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {self.token}"}
        client = httpx.AsyncClient(transport=transport, base_url="http://quire/api/v2", headers=headers)
        async with _AT_ONCE, client:
            answer = await client.request(method, path, json=json, params=query)
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise NotFoundError(_reason(answer))
        if answer.is_error:
            raise RefusedError(answer.status_code, _reason(answer))
        return answer.json()


def is_run_id(run_id: str) -> bool:
    """Whether an id names one run in a path of Airflow's API."""
    return run_id not in RESERVED_RUN_IDS and run_id.isprintable()


def _run(dag_id: str, run_id: str) -> str:
    if not is_run_id(run_id):
        raise NotFoundError(run_id)
    return f"{_runs(dag_id)}/{_part(run_id)}"


def _runs(dag_id: str) -> str:
    return f"/dags/{_part(dag_id)}/dagRuns"


def _part(name: str) -> str:
    return quote(name, safe="")


def _reason(answer: httpx.Response) -> str:
    try:
        detail = answer.json().get("detail")
    except (ValueError, AttributeError):
        detail = None
    return detail if isinstance(detail, str) else f"Airflow answers {answer.status_code}"

"""Starts, stops and inspects DAG runs through a running Airflow's REST API."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from quire.airflow_api.client import AirflowApi, AirflowUnavailableError, NotFoundError, RefusedError
from quire.airflow_api.transports import BlockingTransport, run_blocking
from quire.errors import StackError

Result = TypeVar("Result")


def start_run(client: httpx.Client, dag_id: str, conf: Mapping[str, Any]) -> str:
    """Starts a run and returns its ID.

    Raises:
        StackError: Airflow rejects the run or is unreachable.
    """
    return _call(f"start {dag_id}", airflow_api(client).start_run(dag_id, dict(conf)))


def is_paused(client: httpx.Client, dag_id: str) -> bool:
    """Returns whether a DAG is paused. A paused DAG's runs stay queued.

    Raises:
        StackError: the DAG does not exist, or Airflow is unreachable.
    """
    return bool(_call(f"look up {dag_id}", airflow_api(client).dag(dag_id))["is_paused"])


def fail_run(client: httpx.Client, dag_id: str, run_id: str) -> None:
    """Stops a run and its tasks.

    Raises:
        StackError: the run does not exist, or Airflow is unreachable.
    """
    _call(f"stop {run_id}", airflow_api(client).fail(dag_id, run_id))


def task_states(client: httpx.Client, dag_id: str, run_id: str) -> list[tuple[str, int, str | None]]:
    """Returns the task ID, map index and state of each task instance in a run.

    Raises:
        StackError: the run does not exist, or Airflow is unreachable.
    """
    tasks = _call(f"list the tasks of {run_id}", airflow_api(client).task_instances(dag_id, run_id))
    return [(task["task_id"], task["map_index"], task["state"]) for task in tasks]


def run_state(client: httpx.Client, dag_id: str, run_id: str) -> str:
    """Returns a run's state, which is queued, running, success or failed.

    Raises:
        StackError: the run does not exist, or Airflow is unreachable.
    """
    return str(_call(f"look up {run_id}", airflow_api(client).run(dag_id, run_id))["state"])


def return_value(client: httpx.Client, dag_id: str, run_id: str, *, task_id: str) -> Any:
    """Returns a task's return value.

    Raises:
        StackError: the task has no return value, or Airflow is unreachable.
    """
    value = _call(f"look up {task_id}", airflow_api(client).xcom(dag_id, run_id, task_id, key="return_value"))
    if value is None:
        raise StackError(f"task {task_id} of run {run_id} has no return value")
    return value


def dag_ids(client: httpx.Client) -> set[str]:
    """Returns Quire's DAG IDs.

    Raises:
        StackError: Airflow is unreachable.
    """
    return {dag["dag_id"] for dag in _call("list the DAGs", airflow_api(client).dags())}


def import_errors(client: httpx.Client) -> list[str]:
    """Returns the stack traces of DAG files that cannot be imported.

    Raises:
        StackError: Airflow is unreachable.
    """
    return [str(error["stack_trace"]) for error in _call("list import errors", airflow_api(client).import_errors())]


def component_health(client: httpx.Client) -> dict[str, str | None]:
    """Returns each Airflow component's health status.

    Raises:
        StackError: Airflow is unreachable.
    """
    health = _call("check Airflow's health", airflow_api(client).health())
    return {component: report["status"] for component, report in health.items()}


def airflow_api(client: httpx.Client) -> AirflowApi:
    """Returns an API client that has the permissions of the user signed in to ``client``."""
    return AirflowApi(BlockingTransport(client))


def _call(action: str, call: Coroutine[Any, Any, Result]) -> Result:
    with airflow_errors(action):
        return run_blocking(call)


@contextmanager
def airflow_errors(action: str) -> Iterator[None]:
    """Converts errors from Airflow's API to StackError.

    Args:
        action: the action for the error message, as an infinitive without "to".
    """
    try:
        yield
    except (NotFoundError, RefusedError, AirflowUnavailableError) as error:
        raise StackError(f"cannot {action}: {error}") from error
    except httpx.HTTPStatusError as error:
        raise StackError(f"cannot {action}: Airflow responded with status {error.response.status_code}") from error
    except httpx.HTTPError as error:
        raise StackError(f"cannot {action}: Airflow is unreachable: {error}") from error

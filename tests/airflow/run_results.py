"""A run's result, as returned by a running Airflow."""

from __future__ import annotations

from typing import Any

import httpx
from quire.airflow_dag.xcom import publishing_task
from quire.dev_stack.airflow_runs import return_value, task_states


def published_value(client: httpx.Client, dag_id: str, run_id: str) -> dict[str, Any]:
    """Returns the value returned by the task that published a run."""
    states = task_states(client, dag_id, run_id)
    planned = return_value(client, dag_id, run_id, task_id="plan")
    publisher = publishing_task([{"task_id": task, "state": state} for task, _, state in states], planned)
    assert publisher, states
    value: dict[str, Any] = planned if publisher == "plan" else return_value(client, dag_id, run_id, task_id=publisher)
    return value

"""Script: prints facts about the DAGs in dags/reports.py as JSON.

It runs in a separate process, because importing Airflow requires a home directory. ``dag_facts.py CONNECTION …`` also
prints each connection's libpq URI.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from types import FrameType
from typing import Any

from airflow.sdk import DAG
from quire.airflow_dag.connections import open_session
from quire.allocator_settings import POLARS_VARIABLES
from quire.errors import ReportError
from quire.report.catalog import find_definition
from quire.settings import include_folder

reports: Any = importlib.import_module("reports")


class FunctionStartedError(Exception):
    """Raised when a task is about to execute its own function."""


def configures_first(task: Any) -> bool:
    """Returns whether a task has configured its process by the time its own function starts. Stops it there."""
    configured, own = task.python_callable, inspect.unwrap(task.python_callable).__code__

    def stop_at_function(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code is own:
            raise FunctionStartedError

    for name in POLARS_VARIABLES:
        os.environ.pop(name, None)
    sys.setprofile(stop_at_function)
    try:
        configured(**dict.fromkeys(inspect.signature(configured).parameters))
    except FunctionStartedError:
        return POLARS_VARIABLES.items() <= os.environ.items()
    finally:
        sys.setprofile(None)
    raise AssertionError(f"{task.task_id} never calls its function")


def task_facts(task: Any) -> dict[str, Any]:
    policy = task.partial_kwargs.get("retry_policy") if task.is_mapped else task.retry_policy
    return {
        "configured": configures_first(task),
        "upstream": sorted(task.upstream_task_ids),
        "mapped": bool(task.is_mapped),
        "params": list(task.params),
        "retries": task.retries,
        "backoff": task.retry_exponential_backoff,
        "timeout": task.execution_timeout.total_seconds() if task.execution_timeout else None,
        "at_once": task.max_active_tis_per_dagrun,
        "queue": task.queue,
        "pool": task.pool,
        "executor_config": task.executor_config,
        "trigger_rule": task.trigger_rule.value,
        "outlets": [outlet.uri for outlet in task.outlets],
        "rules": [[rule.exception.__name__, rule.action.name] for rule in policy.rules] if policy else [],
    }


def source_of(connection: str) -> str:
    try:
        definition = find_definition(include_folder(), "flights")
        source = definition.source.model_copy(update={"connection": connection})
        return open_session(definition.model_copy(update={"source": source})).url
    except ReportError as error:
        return f"{type(error).__name__}: {error}"


dags = {name: value for name, value in vars(reports).items() if isinstance(value, DAG)}
facts = {
    dag.dag_id: {
        "variable": name,
        "tasks": {task.task_id: task_facts(task) for task in dag.tasks},
        "params": {key: dag.params.get_param(key).schema for key in dag.params},
        "defaults": {key: dag.params.get_param(key).value for key in dag.params},
        "paused": dag.is_paused_upon_creation,
        "catchup": dag.catchup,
        "start": dag.start_date,
        "cron": [getattr(dag.timetable, "expression", None), str(getattr(dag.timetable, "timezone", ""))],
    }
    for name, dag in dags.items()
}
housekeeping = importlib.import_module("housekeeping").housekeeping
housekeeping_facts = {
    "dag_id": housekeeping.dag_id,
    "cron": housekeeping.timetable.expression,
    "tasks": [task.task_id for task in housekeeping.tasks],
    "configured": all(configures_first(task) for task in housekeeping.tasks),
    "pods": {task.task_id: task.executor_config for task in housekeeping.tasks},
}
print(
    json.dumps(
        {
            "dags": facts,
            "housekeeping": housekeeping_facts,
            "sources": {name: source_of(name) for name in sys.argv[1:]},
        },
        default=str,
    )
)

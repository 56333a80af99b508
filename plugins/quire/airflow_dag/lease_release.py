"""Releases a run's lease in the last task of a DAG that does not publish; in other DAGs, publish releases it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import TriggerRule, get_current_context

from quire.airflow_dag.placement import placement
from quire.airflow_dag.task_decorator import quire_task
from quire.airflow_dag.xcom import release_lease_of
from quire.report.definition import ReportDefinition


def release_task(definition: ReportDefinition) -> Any:
    """Returns the task that releases the lease if no other task has failed. A failed task releases the lease itself."""

    @quire_task(
        task_id="release",
        execution_timeout=timedelta(minutes=5),
        trigger_rule=TriggerRule.NONE_FAILED,  # Airflow skips extract if all partitions are cached
        **placement(definition, "plan"),
    )
    def release() -> None:
        release_lease_of(get_current_context())

    return release()

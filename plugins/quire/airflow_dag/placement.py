"""Where tasks run (their queues, pools and pod templates), and how many threads they may use there."""

from __future__ import annotations

from typing import Any

from quire.report.definition import ReportDefinition, StageName
from quire.settings import pod_template

MAX_TASK_THREADS = 2  # with which one task extracts partitions; each thread needs about 85 MB


def placement(definition: ReportDefinition, stage: StageName) -> dict[str, Any]:
    """Returns the queue, pool and pod template that the definition or the settings name for a stage."""
    configured = {"queue": definition.queues.get(stage), "pool": definition.pools.get(stage)}
    return {**{name: value for name, value in configured.items() if value}, **pod_of(stage)}


def pod_of(task_name: str) -> dict[str, Any]:
    """Returns a task's pod template for the KubernetesExecutor, if the settings name a template folder."""
    template = pod_template(task_name)
    return {"executor_config": {"pod_template_file": template}} if template else {}


def max_extract_threads(definition: ReportDefinition) -> int:
    """Returns with how many threads a task that runs all stages may extract: one if pools count the tasks."""
    return 1 if definition.pools else MAX_TASK_THREADS

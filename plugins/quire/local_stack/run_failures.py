"""Why a run failed: the line in the log of its task."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from quire.local_stack.airflow_servers import AirflowServer, task_states


def describe_failure(client: httpx.Client, server: AirflowServer, *, dag_id: str, run_id: str) -> str:
    """Returns in one line which task of a run failed, why, and where its log is."""
    run = server.folder / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}"
    failed = [(task, index) for task, index, state in task_states(client, dag_id, run_id) if state == "failed"]
    if not failed:
        return f"the run {run_id} failed, and none of its tasks: the logs are in {run}"
    task, index = failed[0]
    folder = run / f"task_id={task}"
    if index >= 0:
        folder, task = folder / f"map_index={index}", f"{task}[{index}]"
    logs = sorted(folder.glob("attempt=*.log"), key=lambda path: path.stat().st_mtime)
    if not logs:
        return f"the task {task} of run {run_id} failed before it began: see the logs in {server.folder}"
    return f"the task {task} of run {run_id} failed: {_reason(logs[-1])} ({logs[-1]})"


def _reason(log: Path) -> str:
    """Returns the last error of a log, as its exception says it."""
    errors = [entry for entry in _entries(log) if entry.get("level") in ("error", "critical")]
    if not errors:
        return "it logged no error"
    raised = [entry["error_detail"][0] for entry in errors if entry.get("error_detail")]
    said = raised[-1]["exc_value"] or raised[-1]["exc_type"] if raised else errors[-1]["event"]
    return " ".join(str(said).split())


def _entries(log: Path) -> Iterator[dict[str, Any]]:
    for line in log.read_text(errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # what the task printed
            continue
        if isinstance(entry, dict):
            yield entry

"""Reads a failed task's log to explain why its run failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from quire.dev_stack.airflow_runs import task_states
from quire.dev_stack.airflow_servers import AirflowServer


def describe_failure(client: httpx.Client, server: AirflowServer, *, dag_id: str, run_id: str) -> str:
    """Returns one line that names the failed task, its error and its log."""
    run = server.folder / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}"
    failed = [(task, index) for task, index, state in task_states(client, dag_id, run_id) if state == "failed"]
    if not failed:
        return f"run {run_id} failed, but none of its tasks did: see the logs in {run}"
    task, index = failed[0]
    folder = run / f"task_id={task}"
    if index >= 0:
        folder, task = folder / f"map_index={index}", f"{task}[{index}]"
    logs = sorted(folder.glob("attempt=*.log"), key=lambda path: path.stat().st_mtime)
    if not logs:
        return f"task {task} of run {run_id} failed before it started: see the logs in {server.folder}"
    return f"task {task} of run {run_id} failed: {_reason(logs[-1])} ({logs[-1]})"


def _reason(log: Path) -> str:
    """Returns the last error in a log, or its exception's message if it has one."""
    errors = [entry for entry in _entries(log) if entry.get("level") in ("error", "critical")]
    if not errors:
        return "its log contains no error"
    exceptions = [entry["error_detail"][0] for entry in errors if entry.get("error_detail")]
    message = exceptions[-1]["exc_value"] or exceptions[-1]["exc_type"] if exceptions else errors[-1]["event"]
    return " ".join(str(message).split())


def _entries(log: Path) -> Iterator[dict[str, Any]]:
    for line in log.read_text(errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # printed by the task
            continue
        if isinstance(entry, dict):
            yield entry

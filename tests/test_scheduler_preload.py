"""The scheduler imports libraries for the tasks that it forks, and other processes do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from quire.scheduler_preload import LIBRARIES
from quire.settings import CLONE

COMMANDS = [[], ["api-server"], ["tasks", "test", "scheduler"], ["scheduler"], ["dag-processor"]]
PROGRAM = """
import json, os, sys
libraries, commands = json.loads(sys.argv.pop())
from airflow.listeners.listener import get_listener_manager
from quire.portal.airflow_plugin import QuirePlugin
before = {name for name in sys.modules if name.startswith("quire.")}
for listener in QuirePlugin.listeners:
    get_listener_manager().add_listener(listener)
loaded = []
for command in commands:
    sys.argv[1:] = command
    get_listener_manager().hook.on_starting(component=None)
    loaded.append([name for name in libraries if name in sys.modules])
    for name in loaded[-1] if command != commands[-1] else ():
        del sys.modules[name]
print(json.dumps({
    "loaded": loaded,
    "unwanted": sorted({"polars", "pyarrow", "fastapi"} & set(sys.modules)),
    "quire": sorted({name for name in sys.modules if name.startswith("quire.")} - before),
    "threads": len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1,
}))
"""


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    """What a process has imported after its listeners were called for each command."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([LIBRARIES, COMMANDS])],
        env={**os.environ, "PYTHONPATH": str(CLONE / "plugins")},
        capture_output=True,
        text=True,
        check=True,
    )
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return facts


def test_only_processes_that_fork_others_import_libraries(facts: dict[str, Any]) -> None:
    assert facts["loaded"] == [[], [], [], list(LIBRARIES), list(LIBRARIES)]


def test_imported_libraries_start_no_thread_and_exclude_arrow_polars_and_quire(facts: dict[str, Any]) -> None:
    assert (facts["threads"], facts["unwanted"], facts["quire"]) == (1, [], [])

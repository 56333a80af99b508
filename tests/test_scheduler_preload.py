"""The scheduler imports modules for the tasks that it forks, and other processes do not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from quire.scheduler_preload import LIBRARIES, OWN_MODULES
from quire.settings import CLONE

OTHERS = [[], ["api-server"], ["tasks", "test", "scheduler"]]
PROGRAM = """
import json, os, sys
modules, commands, changed = json.loads(sys.argv.pop())
from airflow.listeners.listener import get_listener_manager
from quire.portal.airflow_plugin import QuirePlugin

def in_forked_process(describe):
    readable, writable = os.pipe()
    if not os.fork():
        os.write(writable, json.dumps(describe()).encode())
        os._exit(0)
    os.wait()
    return json.loads(os.read(readable, 65536))

def thread_names():
    folder = "/proc/self/task"
    names = [open(f"{folder}/{thread}/comm").read().strip() for thread in os.listdir(folder)]
    return sorted(name for name in names if not name.startswith("python"))  # which OpenBLAS's threads are called, too

def sum_column():
    from quire.allocator_settings import configure_process
    from quire.postgres.arrow_without_pandas import hide_pandas_from_arrow
    configure_process()
    hide_pandas_from_arrow()
    import polars, pyarrow
    column = pyarrow.table({"n": list(range(100_000))})["n"]
    return [pyarrow.default_memory_pool().backend_name, polars.from_arrow(column).sum(), "pandas" in sys.modules]

def start_task():
    sys.argv[1:] = commands[-1]
    get_listener_manager().hook.on_starting(component=None)
    return [name for name in modules if name in sys.modules]

for listener in QuirePlugin.listeners:
    get_listener_manager().add_listener(listener)
loaded, variables = [], set(os.environ)
for command in commands:
    sys.argv[1:] = command
    get_listener_manager().hook.on_starting(component=None)
    loaded.append([name for name in modules if name in sys.modules])
facts = {"loaded": loaded, "unwanted": sorted({"polars", "pandas", "fastapi"} & set(sys.modules))}
facts["threads"] = thread_names() if os.path.isdir("/proc/self/task") else []
facts["variables"] = sorted(set(os.environ) - variables)
facts["sum"] = in_forked_process(sum_column)
def cached_reports():
    from quire.airflow_dag.dag import DEFINITIONS
    return sorted(path.stem for path in DEFINITIONS._entries)

facts["reports"] = in_forked_process(cached_reports) if "quire.airflow_dag" in sys.modules else []
facts["kept"] = in_forked_process(lambda: [name for name in modules if name in sys.modules])
if changed:
    with open(changed, "a") as file:
        file.write("IS_CHANGED = True\\n")
    facts["kept after a change"] = in_forked_process(start_task)
    def read_changed():
        from quire.runs import leases
        return leases.IS_CHANGED
    facts["changed"] = in_forked_process(read_changed)
print(json.dumps(facts))
"""


def start_process(
    plugins: Path, *commands: list[str], changed: Path | None = None, executor: str = "LocalExecutor"
) -> dict[str, Any]:
    """Calls the listeners in a new process for each command, and returns what the process has imported."""
    arguments = [[*LIBRARIES, *OWN_MODULES], commands, str(changed) if changed else None]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, json.dumps(arguments)],
        env={**os.environ, "PYTHONPATH": str(plugins), "AIRFLOW__CORE__EXECUTOR": executor},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return facts


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What processes have imported, the last of which is a scheduler, and what its forked processes have imported."""
    plugins = tmp_path_factory.mktemp("clone") / "plugins"
    shutil.copytree(CLONE / "plugins", plugins, ignore=shutil.ignore_patterns("__pycache__"))
    return start_process(plugins, *OTHERS, ["scheduler"], changed=plugins / "quire" / "runs" / "leases.py")


def test_only_processes_that_fork_others_import_modules(scheduler: dict[str, Any]) -> None:
    assert scheduler["loaded"] == [[], [], [], [*LIBRARIES, *OWN_MODULES]]


def test_dag_processor_imports_modules_and_reads_all_reports() -> None:
    processor = start_process(CLONE / "plugins", ["dag-processor"])
    assert processor["loaded"] == [[*LIBRARIES, *OWN_MODULES]]
    assert processor["reports"] == sorted(path.stem for path in (CLONE / "include" / "reports").glob("*.yaml"))


def test_scheduler_that_forks_no_tasks_imports_no_modules() -> None:
    assert start_process(CLONE / "plugins", ["scheduler"], executor="CeleryExecutor")["loaded"] == [[]]


def test_scheduler_imports_neither_polars_nor_pandas(scheduler: dict[str, Any]) -> None:
    assert scheduler["unwanted"] == []


def test_scheduler_has_no_thread_or_setting_that_its_tasks_would_miss_or_inherit(scheduler: dict[str, Any]) -> None:
    assert set(scheduler["threads"]) <= {"jemalloc_bg_thd"}  # Arrow's, which only returns freed memory sooner
    assert scheduler["variables"] == []


def test_forked_process_has_all_modules(scheduler: dict[str, Any]) -> None:
    assert scheduler["kept"] == [*LIBRARIES, *OWN_MODULES]
    assert scheduler["reports"] == []  # each task reads only its own report


def test_forked_process_can_use_arrow_and_polars(scheduler: dict[str, Any]) -> None:
    pool = "jemalloc" if os.sysconf("SC_PAGE_SIZE") == 4096 else "mimalloc"
    assert scheduler["sum"] == [pool, sum(range(100_000)), False]


def test_forked_process_imports_modules_again_after_a_file_has_changed(scheduler: dict[str, Any]) -> None:
    assert scheduler["kept after a change"] == list(LIBRARIES)
    assert scheduler["changed"] is True

"""Imports modules in Airflow's scheduler and DAG processor, so that the processes they fork start faster.

The LocalExecutor forks each task from the scheduler, and the DAG processor forks a process for each file. Without this
module, each of them imports these modules itself.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.configuration import conf
from airflow.listeners import hookimpl

from quire.errors import ReportError

if TYPE_CHECKING:
    from quire.report.catalog.text_file import FileSignature

logger = logging.getLogger(__name__)

# Excludes Polars: it starts a thread that manages its memory, and a forked process would lack that thread. Arrow's only
# thread returns freed memory to the kernel sooner; Quire's tasks do so themselves between stages. NumPy's threads stop
# before a fork.
LIBRARIES = (
    "airflow.providers.postgres.hooks.postgres",
    "airflow.providers.standard.decorators.python",
    "boto3.session",
    *(["numpy"] if find_spec("numpy") else []),  # Arrow imports it if it is installed
    "psycopg2.extras",
    "pyarrow.parquet",
    "s3transfer.manager",
    "stream_zip",
    "xlsxwriter",
)
OWN_MODULES = (
    "quire.airflow_dag",
    "quire.airflow_dag.fan_out",
    "quire.runs.leases",
    "quire.stages.layout",
    "quire.xlsx.model",
)
LOADED_NS = time.time_ns()

Signatures = Mapping[Path, "FileSignature | None"]


class PreloadListener:
    """A listener that imports the modules when the scheduler or the DAG processor starts."""

    def __init__(self) -> None:
        self._is_done = False  # also in forked tasks, which call the listener, too

    @hookimpl
    def on_starting(self) -> None:
        """Imports the modules if this process forks tasks or parses DAG files. Airflow logs any error."""
        if self._is_done or not _forks_processes(sys.argv[1:2]):
            return
        self._is_done, began = True, time.monotonic()
        from quire.report.catalog.text_file import find_signature  # only here, because it loads all of quire.report

        try:
            for name in (*OWN_MODULES, *LIBRARIES):  # Quire's own first, because they configure Arrow
                importlib.import_module(name)
            importlib.import_module("quire.object_store.s3_session").load_descriptions()
            if sys.argv[1:2] == ["dag-processor"]:  # which needs all reports each time
                with suppress(ReportError):  # the DAG file reports it
                    importlib.import_module("quire.airflow_dag.dag").load_needed_reports()
        finally:
            signatures = {path: find_signature(path) for path in _own_files()}
            os.register_at_fork(after_in_child=lambda: _forget_changed_modules(signatures, find_signature))
        logger.info("imported the modules for Quire's tasks in %.1f s", time.monotonic() - began)


def _forks_processes(command: list[str]) -> bool:
    if command == ["scheduler"]:
        return "LocalExecutor" in conf.get("core", "executor")
    return command == ["dag-processor"]


def _forget_changed_modules(signatures: Signatures, find_signature: Callable[[Path], FileSignature | None]) -> None:
    """Makes a forked process import all of Quire's modules again if a file has changed since this module was loaded.

    Otherwise, the process would combine modules from two versions, because it imports the remaining modules itself.
    """
    current = {path: find_signature(path) for path in signatures}
    is_new = any(signature and signature[-1] > LOADED_NS for signature in signatures.values())
    if is_new or current != signatures:
        logger.info("Quire's files have changed since Airflow started. Restart Airflow, so that its tasks start faster")
        for name in _own_modules():
            del sys.modules[name]


def _own_modules() -> list[str]:
    return [name for name in sys.modules if name == "quire" or name.startswith("quire.")]


def _own_files() -> list[Path]:
    files = (getattr(sys.modules[name], "__file__", None) for name in _own_modules())
    return [Path(file) for file in files if file]

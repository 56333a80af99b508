"""Imports modules in Airflow's scheduler and DAG processor, so that the processes they fork start faster.

The LocalExecutor forks each task from the scheduler, and the DAG processor forks a process for each file. Without this
module, each of them spends 0.6 s of CPU time on these imports.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from airflow.listeners import hookimpl

from quire.report.catalog.text_file import FileSignature, file_signature

logger = logging.getLogger(__name__)

FORKING_COMPONENTS = {"scheduler", "dag-processor"}  # subcommands of `airflow`
# Excludes Polars: it starts a thread that manages its memory, and a forked process would lack that thread. Arrow's and
# NumPy's threads do not have this problem, because their libraries stop or restart them when the process forks.
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


class PreloadListener:
    """A listener that imports the modules when the scheduler or the DAG processor starts."""

    @hookimpl
    def on_starting(self) -> None:
        """Imports the modules if this process forks tasks or parses DAG files. Airflow logs any error."""
        missing = [name for name in (*LIBRARIES, *OWN_MODULES) if name not in sys.modules]
        if not missing or not FORKING_COMPONENTS.intersection(sys.argv[1:2]):  # forked tasks call this method, too
            return
        began = time.monotonic()
        for name in missing:
            importlib.import_module(name)
        signatures = {path: _signature(path) for path in _own_files()}
        os.register_at_fork(after_in_child=lambda: _forget_changed_modules(signatures))
        logger.info("imported %d modules for Quire's tasks in %.1f s", len(missing), time.monotonic() - began)


def _forget_changed_modules(signatures: Mapping[Path, FileSignature | None]) -> None:
    """Makes a forked process import all of Quire's modules again if a file has changed since the scheduler started.

    Otherwise, the process would combine modules from two versions, because it imports the remaining modules itself.
    """
    if any(_signature(path) != signature for path, signature in signatures.items()):
        for name in _own_modules():
            del sys.modules[name]


def _own_modules() -> list[str]:
    return [name for name in sys.modules if name == "quire" or name.startswith("quire.")]


def _own_files() -> list[Path]:
    files = (getattr(sys.modules[name], "__file__", None) for name in _own_modules())
    return [Path(file) for file in files if file]


def _signature(path: Path) -> FileSignature | None:
    try:
        return file_signature(path)
    except OSError:
        return None

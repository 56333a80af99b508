"""Imports libraries in Airflow's scheduler and DAG processor, so that the processes they fork start faster.

The LocalExecutor forks each task from the scheduler, and the DAG processor forks a process for each file. Without this
module, each of them spends 0.25 s of CPU time on these imports.
"""

from __future__ import annotations

import importlib
import logging
import sys
import time

from airflow.listeners import hookimpl

logger = logging.getLogger(__name__)

FORKING_COMPONENTS = {"scheduler", "dag-processor"}  # subcommands of `airflow`
# Excludes Arrow and Polars, which start threads and read Quire's allocator settings when they are imported, and Quire
# itself, because a task must not mix the modules of two versions.
LIBRARIES = (
    "airflow.providers.postgres.hooks.postgres",
    "airflow.providers.standard.decorators.python",
    "boto3.session",
    "psycopg2.extras",
    "s3transfer.manager",
    "stream_zip",
    "xlsxwriter",
)


class PreloadListener:
    """A listener that imports the libraries when the scheduler or the DAG processor starts."""

    @hookimpl
    def on_starting(self) -> None:
        """Imports the libraries if this process forks tasks or parses DAG files. Airflow logs any error."""
        missing = [name for name in LIBRARIES if name not in sys.modules]
        if not missing or not FORKING_COMPONENTS.intersection(sys.argv[1:2]):  # forked tasks call this method, too
            return
        began = time.monotonic()
        for name in missing:
            importlib.import_module(name)
        logger.info("imported %d libraries for Quire's tasks in %.1f s", len(missing), time.monotonic() - began)

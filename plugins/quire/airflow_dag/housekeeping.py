"""The housekeeping tasks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from quire.airflow_dag.connections import open_store, owner_connection_url
from quire.airflow_dag.placement import pod_of
from quire.airflow_dag.task_decorator import quire_task
from quire.record_types.serialization import to_json
from quire.settings import include_folder


def collect_task() -> Any:
    """Returns the task that runs garbage collection on the store and returns what it deleted."""

    @quire_task(task_id="collect", execution_timeout=timedelta(hours=2))
    def collect() -> Any:
        from quire.report.catalog import load_catalog
        from quire.runs.retention import collect_garbage

        definitions = load_catalog(include_folder()).definitions
        store = open_store()
        return to_json(collect_garbage(definitions, store=store, now=store.now()))

    return collect()


def compact_task() -> Any:
    """Returns the task that compacts the change logs and returns how many records it removed."""

    @quire_task(task_id="compact", execution_timeout=timedelta(hours=2), **pod_of("compact"))
    def compact() -> int:
        from quire.postgres.tracking.installation import compact_logs
        from quire.report.catalog import load_catalog

        definitions = load_catalog(include_folder()).definitions.values()
        tracked = [definition for definition in definitions if definition.source.freshness == "tracked"]
        return compact_logs({owner_connection_url(definition) for definition in tracked})

    return compact()

"""Defines a report's assets, which other DAGs can depend on, and adds their events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Asset, get_current_context

from quire.partition_cache.freshness import detects_changes, is_reusable
from quire.record_types.run_result import RunResult
from quire.record_types.serialization import to_json
from quire.record_types.stage_records import StagedPartition
from quire.report.definition import ReportDefinition
from quire.report.request import RunRequest


def report_asset(definition: ReportDefinition) -> Asset:
    """Returns the asset that publish updates."""
    return Asset(name=definition.name, uri=f"quire://reports/{definition.name}")


def partitions_asset(definition: ReportDefinition) -> Asset:
    """Returns the asset that extract updates with the keys of stored partitions."""
    return Asset(name=f"{definition.name}_partitions", uri=f"quire://partitions/{definition.name}")


def partition_outlets(definition: ReportDefinition) -> list[Asset]:
    """Returns the outlets for a task that extracts partitions; none if other runs cannot reuse the partitions."""
    return [partitions_asset(definition)] if detects_changes(definition) else []


def record_partitions(definition: ReportDefinition, request: RunRequest, extracted: Sequence[StagedPartition]) -> None:
    """Adds the keys of reusable partitions to the current task's event for the partitions asset."""
    if is_reusable(definition, request):
        event = get_current_context()["outlet_events"][partitions_asset(definition)]
        event.add_partitions([partition.key for partition in extracted])
        event.extra = {"report": definition.name, "parameters": request.parameters}


def record_publication(definition: ReportDefinition, result: RunResult) -> dict[str, Any]:
    """Adds a published run's result to the current task's event for the report asset, and returns it as JSON values."""
    fields: dict[str, Any] = to_json(result)
    get_current_context()["outlet_events"][report_asset(definition)].extra = fields
    return fields


def partitions_of_run(partitions: Sequence[StagedPartition]) -> list[StagedPartition]:
    """Returns the partitions whose rows the current run has read, in this task attempt or an earlier one."""
    started = get_current_context()["dag_run"].start_date or datetime.now(UTC)
    return [part for part in partitions if not part.cache_hit or datetime.fromisoformat(part.snapshot_at) >= started]


def add_outlets(assets: Sequence[Asset]) -> None:
    """Adds outlets to the current task: Airflow creates an event for each outlet that a task has when it ends."""
    task: Any = get_current_context()["task"]
    task.outlets = [*task.outlets, *assets]

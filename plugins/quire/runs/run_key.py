"""A run's key: the same question about the same rows has the same one."""

from __future__ import annotations

from collections.abc import Sequence

from quire.object_store import Store
from quire.records.serialization import digest
from quire.records.stage_records import RunPlan, StagedPartition
from quire.report.definition import ReportDefinition
from quire.runs.manifest_store import find_manifest

RENDERER = 7  # raised when the same rows would give other files
# What decides neither the rows (the tokens stand for them) nor what the files look like.
NOT_ASKED: dict[str, bool | set[str] | dict[str, set[str]]] = {
    **dict.fromkeys(
        (
            *("schedule", "window", "store_schedule", "delivery", "queues", "pools", "source", "sql_text"),
            *("owner", "limits"),
        ),
        True,
    ),
    "parameters": {"__all__": {"max_length"}},  # their values are in the request
    "workbook": {"formats", "reader_formats", "csv"},  # the request may have other formats
}


def compute_run_key(definition: ReportDefinition, plan: RunPlan, staged: Sequence[StagedPartition]) -> str:
    """Returns the digest of definition, range, parameters, formats and the tokens of the rows that were read.

    Args:
        definition: the report.
        plan: of the run.
        staged: every partition of the run, in order.
    """
    request = plan.request
    formats = definition.file_formats(request.formats)
    return digest(
        RENDERER,
        definition.model_dump(mode="json", exclude=NOT_ASKED),
        plan.source_digest,
        (definition.source.sql, [table.name for table in definition.source.tables]),  # the sheet About names them
        (request.start, request.end, request.parameters, formats),
        definition.workbook.csv.model_dump(mode="json") if "csv" in formats else None,
        [(partition.key, partition.freshness_token) for partition in staged],
    )


def is_run_published(store: Store, report: str, run_key: str) -> bool:
    """Whether such a run exists; one whose manifest is damaged does not."""
    return find_manifest(store, report, run_key) is not None

"""Computes run keys; runs with identical requests and identical rows have the same key."""

from __future__ import annotations

from collections.abc import Mapping

from quire.object_store import Store
from quire.record_types.serialization import digest
from quire.record_types.stage_records import RunPlan
from quire.report.definition import ReportDefinition
from quire.runs.manifest_store import find_manifest

RENDERER = 8  # increment this number if a code change makes the same rows produce different files
# These fields do not affect the files, or they affect only the rows, which freshness tokens identify.
EXCLUDED_FIELDS: dict[str, bool | set[str] | dict[str, set[str]]] = {
    **dict.fromkeys(
        (
            *("schedule", "window", "store_schedule", "delivery", "queues", "pools", "source", "sql_text"),
            *("owner", "limits", "fan_out"),
        ),
        True,
    ),
    "parameters": {"__all__": {"max_length"}},  # the request contains their values
    "workbook": {"formats", "reader_formats", "csv"},  # the request may choose different formats
}


def compute_run_key(
    definition: ReportDefinition, plan: RunPlan, tokens: Mapping[str, str], *, renderer: int = RENDERER
) -> str:
    """Returns a digest of the definition, the date range, the parameters, the file formats and the freshness tokens.

    Args:
        definition: the report.
        plan: the run's plan.
        tokens: the freshness token of each of the run's partitions, by partition key, in order.
        renderer: the version of the code that renders the files.
    """
    request = plan.request
    formats = definition.file_formats(request.formats)
    return digest(
        renderer,
        definition.model_dump(mode="json", exclude=EXCLUDED_FIELDS),
        plan.source_digest,
        (definition.source.sql, [table.name for table in definition.source.tables]),  # shown on the About sheet
        (request.start, request.end, request.parameters, formats),
        definition.workbook.csv.model_dump(mode="json") if "csv" in formats else None,
        list(tokens.items()),
    )


def is_run_published(store: Store, report: str, run_key: str) -> bool:
    """Returns whether a run is published. A run with a damaged manifest or a missing file is not published."""
    return find_manifest(store, report, run_key, with_files=True) is not None

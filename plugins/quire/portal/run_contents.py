"""What a published run has: its files, its rows, and what its stages took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quire.portal.error_messages import shorten
from quire.portal.views import FileView, StageView
from quire.records.manifest import Manifest
from quire.records.stage_records import TaskUsage
from quire.runs.file_names import is_summary
from quire.urls import archive_path, file_path

MAX_WARNINGS = 100  # of one run, in a view of it
MAX_WARNING_LENGTH = 2_000


def contents_of(manifest: Manifest, base: str) -> dict[str, Any]:
    """Returns the fields of a run's view that its manifest decides."""
    return {
        "start": manifest.start,
        "end": manifest.end,
        "parameters": manifest.parameters,
        "run": manifest.run,
        "rows": manifest.rows,
        "bytes": sum(file.bytes for file in manifest.files),
        "files": file_views(manifest, base),
        "warnings": warnings_of(manifest),
        "archive": f"{base}{archive_path(manifest.report, manifest.run)}",
    }


def warnings_of(manifest: Manifest) -> list[str]:
    """Returns the first warnings of a run, each of bounded length, and how many more there are."""
    warnings = [shorten(warning, MAX_WARNING_LENGTH) for warning in manifest.warnings[:MAX_WARNINGS]]
    more = len(manifest.warnings) - len(warnings)
    return [*warnings, f"{more:,} more warnings are in the run's manifest."] if more else warnings


def file_views(manifest: Manifest, base: str) -> list[FileView]:
    """Returns the files of a published run."""
    return [
        FileView(
            name=file.name,
            rows=file.rows,
            bytes=file.bytes,
            start=file.start,
            end=file.end,
            earliest=file.earliest,
            latest=file.latest,
            sha256=file.sha256,
            is_summary=is_summary(file),
            url=f"{base}{file_path(manifest.report, manifest.run, file.name)}",
        )
        for file in manifest.files
    ]


def stage_views(usages: Sequence[TaskUsage]) -> list[StageView]:
    """Returns what each stage of a run took, all its tasks together."""
    found = []
    for stage in dict.fromkeys(usage.stage for usage in usages):
        own = [usage for usage in usages if usage.stage == stage]
        found.append(
            StageView(
                stage=stage,
                tasks=len(own),
                seconds=round(sum(usage.seconds for usage in own), 3),
                cpu_seconds=round(sum(usage.cpu_seconds for usage in own), 3),
                rows=sum(usage.rows for usage in own),
                bytes=sum(usage.bytes for usage in own),
                peak_rss_bytes=max(usage.peak_rss_bytes for usage in own),
            )
        )
    return found

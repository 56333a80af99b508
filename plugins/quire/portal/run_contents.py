"""A published run's contents: files, rows, warnings and resource usage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quire.human_readable import format_count, truncate
from quire.portal.views import FileView, StageView
from quire.portal_urls import archive_path, file_path
from quire.record_types.manifest import Manifest
from quire.record_types.stage_records import TaskUsage
from quire.runs.file_names import is_summary

MAX_WARNINGS = 100  # per run
MAX_WARNING_LENGTH = 2_000


def manifest_fields(manifest: Manifest, base: str) -> dict[str, Any]:
    """Returns the ``RunView`` fields that come from the manifest."""
    return {
        "start": manifest.start,
        "end": manifest.end,
        "parameters": manifest.parameters,
        "run": manifest.run,
        "rows": manifest.rows,
        "bytes": sum(file.bytes for file in manifest.files),
        "files": file_views(manifest, base),
        "warnings": limit_warnings(manifest),
        "archive": f"{base}{archive_path(manifest.report, manifest.run)}",
    }


def limit_warnings(manifest: Manifest) -> list[str]:
    """Returns a run's first warnings, truncated, and a line that counts any further warnings."""
    warnings = [truncate(warning, MAX_WARNING_LENGTH) for warning in manifest.warnings[:MAX_WARNINGS]]
    more = len(manifest.warnings) - len(warnings)
    return [*warnings, f"{format_count(more, 'more warning')} in the run's manifest."] if more else warnings


def file_views(manifest: Manifest, base: str) -> list[FileView]:
    """Returns a published run's files."""
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
    """Returns each stage's resource usage, combined over its tasks."""
    views = []
    for stage in dict.fromkeys(usage.stage for usage in usages):
        tasks = [usage for usage in usages if usage.stage == stage]
        views.append(
            StageView(
                stage=stage,
                tasks=len(tasks),
                seconds=round(sum(usage.seconds for usage in tasks), 3),
                cpu_seconds=round(sum(usage.cpu_seconds for usage in tasks), 3),
                rows=sum(usage.rows for usage in tasks),
                bytes=sum(usage.bytes for usage in tasks),
                peak_rss_bytes=max(usage.peak_rss_bytes for usage in tasks),
            )
        )
    return views

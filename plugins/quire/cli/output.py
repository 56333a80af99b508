"""Prints the result of ``quire run``, either as a JSON object or as a readable list of files."""

from __future__ import annotations

import json
from typing import Any

import typer

from quire.date_range import zone
from quire.human_readable import format_count, format_duration, format_period, format_size
from quire.object_store import Store
from quire.pipeline import PipelineResult
from quire.record_types.manifest import Manifest
from quire.record_types.serialization import to_json
from quire.report.definition import ReportDefinition
from quire.runs.file_names import is_summary


def run_json(outcome: PipelineResult, definition: ReportDefinition, store: Store) -> dict[str, Any]:
    """Returns the output of ``quire run --json``. Its links are valid for the definition's ``link_ttl``."""
    manifest = outcome.published.manifest
    return {
        "report": manifest.report,
        "run": manifest.run,
        "start": manifest.start.isoformat(),
        "end": manifest.end.isoformat(),
        "timezone": manifest.timezone,
        "parameters": manifest.parameters,
        "reused": outcome.published.already_published,
        "rows": manifest.rows,
        "partitions": [
            {"key": part.key, "rows": part.rows, "bytes": part.bytes, "sha256": part.sha256, "stored": part.cache_hit}
            for part in outcome.partitions
        ],
        "summaries": [{"name": summary.name, "rows": summary.rows} for summary in manifest.summaries],
        "files": [
            {
                "name": file.name,
                "key": file.key,
                "rows": file.rows,
                "bytes": file.bytes,
                "sha256": file.sha256,
                "start": file.start.isoformat(),
                "end": file.end.isoformat(),
                "earliest": file.earliest,
                "latest": file.latest,
                "is_summary": is_summary(file),
                "reused": outcome.published.already_published or file.cache_hit,
                "url": store.presign(file.key, seconds=_link_seconds(definition), filename=file.name),
            }
            for file in manifest.files
        ],
        "warnings": list(manifest.warnings),
        "seconds": outcome.seconds,
        "peak_rss_bytes": max(usage.peak_rss_bytes for usage in outcome.usage),
        "usage": to_json(outcome.usage),
    }


def print_json(outcome: PipelineResult, definition: ReportDefinition, store: Store) -> None:
    """Prints the result as a single JSON object."""
    typer.echo(json.dumps(run_json(outcome, definition, store), ensure_ascii=False))


def print_files(outcome: PipelineResult, definition: ReportDefinition, store: Store) -> None:
    """Prints the run's files. Each link is on a separate line, so that it is easy to copy."""
    manifest = outcome.published.manifest
    duration = format_duration(outcome.seconds["total"])
    status = _unchanged_line(manifest) if outcome.published.already_published else f"took {duration}"
    typer.echo(f"{manifest.title}, {manifest.start} to {manifest.end}: {format_count(manifest.rows, 'row')}; {status}")
    for file in manifest.files:
        period = format_period(file.earliest, file.latest)
        rows, size = format_count(file.rows, "row"), format_size(file.bytes)
        typer.echo(f"\n{file.name}  {rows}  {size}" + (f"  {period}" if period else ""))
        typer.echo(store.presign(file.key, seconds=_link_seconds(definition), filename=file.name))
    for warning in manifest.warnings:
        typer.echo(f"\nwarning: {warning}")
    typer.echo(f"\nrun {manifest.run}; links work for {format_duration(_link_seconds(definition))}")


def _unchanged_line(manifest: Manifest) -> str:
    since = manifest.unchanged_since.astimezone(zone(manifest.timezone))
    return f"unchanged since {since:%Y-%m-%d %H:%M %Z}, checked just now"


def _link_seconds(definition: ReportDefinition) -> int:
    return int(definition.delivery.link_ttl.total_seconds())

"""The manifest: the commit record for a published run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from quire.record_types.stage_records import RenderedFile, StagedSummary, TaskUsage

RUN_KEY = r"[0-9a-f]{32}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestPartition:
    """A partition in the manifest; ``stored`` means that the partition was a cache hit."""

    key: str
    rows: int
    bytes: int
    sha256: str
    object_key: str
    stored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A run's manifest; a run is published once its manifest exists. Manifests omit links, because links expire.

    Args:
        made_at: the time of the request in ISO 8601.
        snapshot_at: when the last of the run's rows were read, in UTC as ISO 8601; empty if an earlier version
            published the run.
    """

    report: str
    run: str
    run_id: str
    title: str
    made_at: str
    start: date
    end: date
    timezone: str
    parameters: dict[str, Any]
    rows: int
    partitions: tuple[ManifestPartition, ...]
    summaries: tuple[StagedSummary, ...]
    files: tuple[RenderedFile, ...]
    snapshot_at: str = ""
    warnings: tuple[str, ...] = ()
    usage: tuple[TaskUsage, ...] = ()

    @property
    def unchanged_since(self) -> datetime:
        """When the last of the run's rows were read; the time of the request if an earlier version published it."""
        return datetime.fromisoformat(self.snapshot_at or self.made_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRun:
    """A run's manifest, and whether the run was already published."""

    manifest: Manifest
    already_published: bool


def manifest_key(report: str, run_key: str) -> str:
    """Returns the object key for a run's manifest."""
    return f"reports/{report}/{run_key}/manifest.json"

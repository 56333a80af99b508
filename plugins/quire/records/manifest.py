"""The manifest: the commit record of a published run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from quire.records.stage_records import RenderedFile, StagedSummary, TaskUsage

RUN_KEY = r"[0-9a-f]{32}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestPartition:
    """What the manifest says of a partition."""

    key: str
    rows: int
    bytes: int
    sha256: str
    object_key: str
    stored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A published run: its existence is the run's. Holds no links; they are minted when asked for."""

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
    warnings: tuple[str, ...] = ()
    usage: tuple[TaskUsage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRun:
    """What publish hands on: the manifest that counts, and whether it existed before this run."""

    manifest: Manifest
    already_published: bool


def manifest_key(report: str, run_key: str) -> str:
    """Returns the key of the object whose existence is the run's."""
    return f"reports/{report}/{run_key}/manifest.json"

"""The result of a published run, which Airflow stores as an XCom and in the event for the report's asset."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, Field

from quire.record_types.manifest import RUN_KEY, PublishedRun
from quire.record_types.stage_records import RenderedFile


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFile:
    """A file in a run's result; see ``RenderedFile`` for the fields."""

    name: str
    key: str
    rows: int
    bytes: int
    earliest: str | None = None
    latest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A published run. Never rename a field: other DAGs read the JSON fields.

    Args:
        run: the run key.
        reused: whether the run was already published.
        published_at: when the task confirmed that the run is published, to the second.
    """

    report: str
    run: Annotated[str, Field(pattern=f"^{RUN_KEY}$")]
    reused: bool
    rows: int
    files: tuple[ResultFile, ...]
    warnings: tuple[str, ...] = ()
    published_at: AwareDatetime


def summarize_run(published: PublishedRun, *, published_at: datetime) -> RunResult:
    """Returns a published run's result."""
    manifest = published.manifest
    return RunResult(
        report=manifest.report,
        run=manifest.run,
        reused=published.already_published,
        rows=manifest.rows,
        files=tuple(map(_result_file, manifest.files)),
        warnings=manifest.warnings,
        published_at=published_at.replace(microsecond=0),
    )


def _result_file(file: RenderedFile) -> ResultFile:
    return ResultFile(
        name=file.name, key=file.key, rows=file.rows, bytes=file.bytes, earliest=file.earliest, latest=file.latest
    )

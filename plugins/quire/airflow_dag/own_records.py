"""Checks that records from XComs belong to the report and the run at hand.

A user with edit access to a DAG can write its XComs through Airflow's API, but the tasks have rights on every report's
objects. So nothing in an XCom decides which objects a task uses: dates, keys and names must be what the task derives
itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from quire.artifacts import RenderedFile, RunPlan, RunRequest, StagedPartition, StagedRun, StagedSummary, WorkbookShare
from quire.calendar_range import DatePartition
from quire.definition import Probe, ReportDefinition
from quire.errors import IntegrityError
from quire.result_columns import TIME_TYPES
from quire.run_key import run_key_of
from quire.serialization import to_json
from quire.stages.layout import workbook_shares
from quire.stored_partitions import partition_place, whole_range

DIGEST = re.compile(r"[0-9a-f]{32}")
SEGMENT = re.compile(r"[0-9A-Za-z_-]+")
PART = re.compile(r"_part[0-9]+\Z")
PARQUET = re.compile(r"[0-9a-f]{32}\.parquet")


def ensure_own_request(request: RunRequest, expected: RunRequest) -> None:
    """Checks that a request is the run's own; only the instant at which plan began may differ.

    Raises:
        IntegrityError: it is another request.
    """
    same = to_json(replace(request, made_at="")) == to_json(replace(expected, made_at=""))
    if not same or not _is_instant(request.made_at):
        raise _foreign("the request")


def ensure_own_plan(definition: ReportDefinition, plan: RunPlan) -> None:
    """Checks that a plan, whose request was checked before, has partitions of its own date range only.

    Extract compares columns and source digest with the database. Here only the types that reach SQL are checked.

    Raises:
        IntegrityError: it has others, is of no source, or has columns that no query of the report returns.
    """
    types = {column.name: column.pg_type for column in plan.columns}
    if types.get(definition.source.time_column) not in TIME_TYPES or not types.keys() >= _probes(definition):
        raise _foreign("columns")
    if not DIGEST.fullmatch(plan.source_digest):
        raise _foreign("the source digest")
    ensure_own_group(definition, plan, [part for group in plan.groups for part in group])
    ensure_own_partitions(definition, plan, plan.stored)


def ensure_own_group(definition: ReportDefinition, plan: RunPlan, group: Iterable[DatePartition]) -> None:
    """Checks that partitions to extract are of the plan's date range.

    Raises:
        IntegrityError: one is not.
    """
    if not set(group) <= set(plan.request.days.partitions(definition.partition)):
        raise _foreign("a partition")


def ensure_own_partitions(definition: ReportDefinition, plan: RunPlan, partitions: Sequence[StagedPartition]) -> None:
    """Checks that staged partitions are of the plan's date range, and their rows of the report and source.

    Raises:
        IntegrityError: one is not.
    """
    dates = {part.key: (part.start, part.stop) for part in plan.request.days.partitions(definition.partition)}
    for part in partitions:
        place = partition_place(definition.name, plan.source_digest, part.key, part.token)
        if dates.get(part.key) != (part.start, part.stop) or not SEGMENT.fullmatch(part.token):
            raise _foreign("a partition")
        if not PARQUET.fullmatch(_below(place, part.object_key)):
            raise _foreign("the rows of a partition")


def ensure_own_summaries(definition: ReportDefinition, plan: RunPlan, summaries: Sequence[StagedSummary]) -> None:
    """Checks that staged summaries are those of the definition, or none, and their objects of the report and source.

    Raises:
        IntegrityError: they are not.
    """
    if summaries and [summary.name for summary in summaries] != [summary.name for summary in definition.summaries]:
        raise _foreign("a summary")
    folder = f"summaries/{definition.name}/{plan.source_digest}"
    if not all(PARQUET.fullmatch(_below(folder, summary.object_key)) for summary in summaries):
        raise _foreign("a summary")


def ensure_own_run(definition: ReportDefinition, run: StagedRun) -> None:
    """Checks a staged run, whose request was checked before: its plan, partitions, summaries and run key.

    Raises:
        IntegrityError: something of it is another run's.
    """
    ensure_own_plan(definition, run.plan)
    ensure_own_partitions(definition, run.plan, run.partitions)
    if whole_range(definition, replace(run.plan, stored=()), run.partitions) != run.partitions:
        raise _foreign("a partition")
    ensure_own_summaries(definition, run.plan, run.summaries)
    if run.layout.run_key != run_key_of(definition, run.plan, run.partitions):
        raise _foreign("the run key")


def ensure_own_shares(definition: ReportDefinition, run: StagedRun, shares: Iterable[WorkbookShare]) -> None:
    """Checks that workbooks to render are among those that the run's partitions make.

    Raises:
        IntegrityError: one is not.
    """
    if not set(shares) <= set(workbook_shares(definition, run.plan, run.partitions)):
        raise _foreign("a workbook")


def ensure_own_files(definition: ReportDefinition, run: StagedRun, files: Iterable[RenderedFile]) -> None:
    """Checks that rendered files bear names of the run's workbooks, and are objects of the run.

    Raises:
        IntegrityError: one does not, or is not.
    """
    stems = {share.stem for share in workbook_shares(definition, run.plan, run.partitions)}
    suffixes = definition.file_formats(run.plan.request.formats)
    folder = f"reports/{definition.name}/{run.layout.run_key}"
    for file in files:
        stem, _, suffix = file.name.rpartition(".")
        if suffix not in suffixes or not {stem, PART.sub("", stem)} & stems:
            raise _foreign("a file")
        own, _, name = _below(folder, file.key).partition("/")
        if not DIGEST.fullmatch(own) or name != file.name:
            raise _foreign("a file")


def ensure_run_key(run_key: str) -> None:
    """Checks that a run key names one folder of the report, and no other place in the store.

    Raises:
        IntegrityError: it is no run key.
    """
    if not DIGEST.fullmatch(run_key):
        raise _foreign("a run")


def _probes(definition: ReportDefinition) -> set[str]:
    freshness = definition.source.freshness
    return {freshness.probe} if isinstance(freshness, Probe) else set()


def _below(folder: str, key: str) -> str:
    """Returns what a key has behind a folder; nothing where it is not in there."""
    return key.removeprefix(f"{folder}/") if key.startswith(f"{folder}/") else ""


def _is_instant(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _foreign(what: str) -> IntegrityError:
    return IntegrityError(f"an XCom of this run names {what} that is not its own: it was changed, so run it again")

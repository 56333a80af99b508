"""Publish: writes the summary workbook and then the manifest, which publishes the run."""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from quire.errors import DamagedObjectError, IntegrityError, ReportError, error_context
from quire.object_store import CONTENT_TYPES, Store, Upload
from quire.object_store.commit_records import COMMIT_ATTEMPTS, write_once
from quire.partition_cache.cache import evict_damaged_rows
from quire.partition_cache.freshness import changed_partitions, detects_changes
from quire.postgres import SourceSession, open_transaction
from quire.record_types.manifest import Manifest, ManifestPartition, PublishedRun, manifest_key
from quire.record_types.stage_records import RenderedFile, StagedRun, StagedSummary, TaskUsage
from quire.report.definition import ReportDefinition
from quire.runs.file_names import summary_file_name
from quire.runs.manifest_store import find_manifest
from quire.runs.published_files import missing_objects
from quire.runs.workbook_cache import is_shared
from quire.tables_and_charts.about_sheet import about_sheet
from quire.tables_and_charts.files_sheet import files_sheet
from quire.tables_and_charts.summary_sheets import summary_sheets
from quire.xlsx.model import DetailOutcome, FactSheet, TableSheet, Workbook
from quire.xlsx.workbook import write_workbook

logger = logging.getLogger(__name__)


def publish_run(
    definition: ReportDefinition,
    run: StagedRun,
    summaries: Sequence[StagedSummary],
    *,
    files: Sequence[RenderedFile],
    session: SourceSession,
    store: Store,
    usage: Callable[[], tuple[TaskUsage, ...]] = tuple,
    lapsed: Callable[[], bool] = lambda: False,
) -> PublishedRun:
    """Publishes a run, or adopts it if it is already published.

    If two processes publish the same run, the first to write the manifest wins. The loser deletes its own objects.

    Args:
        definition: the report.
        run: the staged run.
        summaries: all of the run's summaries, in order.
        files: the files that render wrote.
        session: the source, checked for changed rows if freshness tokens can detect changes.
        store: the store that holds all of the run's objects.
        usage: returns every task's resource usage, including this task's; called when all other work is done.
        lapsed: returns whether the lease has lapsed, in which case retention may have deleted objects that the run
            uses; called immediately before the manifest is written.

    Raises:
        DamagedObjectError: one of the run's objects is missing or damaged, so the run must start over.
        StoreRefusedError, StoreUnavailableError: the store rejects the request or cannot be reached.
    """
    with error_context(report=definition.name):
        files = _in_order((*run.layout.cached_files, *files), run.layout.file_names)
        if winner := find_manifest(store, definition.name, run.layout.run_key, with_files=True):
            return _adopt(winner, summaries, files, store=store)
        if run.layout.already_published:  # aggregate and render were skipped
            raise DamagedObjectError(
                f"run {run.layout.run_key} was published, but files have since been deleted: run the report again"
            )
        _ensure_complete(definition, run, summaries, files=files)
        notes = (*_notes(run, files), *_change_warnings(definition, run, session))
        if not run.layout.summaries_with_rows:
            files = (*files, _write_summary_workbook(definition, run, summaries, files=files, notes=notes, store=store))
        _ensure_objects(run, summaries, files, store=store)
        manifest = _manifest(definition, run, summaries, files=files, notes=notes, usage=usage())
        if lapsed():
            _ensure_rows(run, store=store)
            _ensure_objects(run, summaries, files, store=store)
        for _ in range(COMMIT_ATTEMPTS):
            if write_once(store, manifest_key(definition.name, run.layout.run_key), manifest):
                logger.info("%s: published run %s, %s rows", definition.name, run.layout.run_key, manifest.rows)
                return PublishedRun(manifest=manifest, already_published=False)
            if winner := find_manifest(store, definition.name, run.layout.run_key):
                logger.info("%s: another process published run %s first", definition.name, run.layout.run_key)
                return _adopt(winner, summaries, files, store=store)
        raise IntegrityError(
            f"run {run.layout.run_key}'s manifest was deleted during publication: run the report again"
        )


def _in_order(files: Sequence[RenderedFile], names: Sequence[str]) -> tuple[RenderedFile, ...]:
    """Sorts files by the layout's names; a continuation, whose name is not in the layout, follows its workbook."""
    positions = {name: position for position, name in enumerate(names)}
    numbered, position = list[tuple[int, RenderedFile]](), 0
    for file in files:
        position = positions.get(file.name, position)
        numbered.append((position, file))
    return tuple(file for _, file in sorted(numbered, key=lambda pair: pair[0]))


def _ensure_complete(
    definition: ReportDefinition,
    run: StagedRun,
    summaries: Sequence[StagedSummary],
    *,
    files: Sequence[RenderedFile],
) -> None:
    """Checks that earlier stages returned every summary in the definition and every file in the layout exactly once.

    Raises:
        DamagedObjectError: a summary or file is missing, or a file occurs twice.
    """
    if [summary.name for summary in summaries] != [summary.name for summary in definition.summaries]:
        raise DamagedObjectError("the run's summaries are incomplete: run the report again")
    names = Counter(file.name for file in files)
    for name in run.layout.file_names:
        if not names[name]:
            raise DamagedObjectError(f"{name} is missing from the run's files: run the report again")
    for name, times in names.items():
        if times > 1:
            raise DamagedObjectError(f"{name} occurs {times} times in the run's files: run the report again")


def _ensure_objects(
    run: StagedRun, summaries: Sequence[StagedSummary], files: Sequence[RenderedFile], *, store: Store
) -> None:
    """Checks that all summaries and files still exist, because a run can resume days later.

    If another process has published the run in the meantime, the check passes, because this run adopts its manifest.
    """
    sizes = [(summary.object_key, summary.bytes) for summary in summaries] + [(file.key, file.bytes) for file in files]
    missing = missing_objects(sizes, store=store)
    if missing and store.size(manifest_key(run.plan.request.report, run.layout.run_key)) is None:
        raise DamagedObjectError(f"{missing[0]} was deleted or changed since it was written: start the run again")


def _ensure_rows(run: StagedRun, *, store: Store) -> None:
    """Checks that every partition's rows exist; if they were deleted, turns the partition into a cache miss."""
    missing = missing_objects([(part.object_key, part.bytes) for part in run.partitions], store=store)
    for key in missing:
        evict_damaged_rows(store, key, DamagedObjectError(f"{key} was deleted"))
    if missing:
        raise DamagedObjectError(f"{missing[0]} was deleted while the run had no lease")


def _adopt(
    winner: Manifest, summaries: Sequence[StagedSummary], files: Sequence[RenderedFile], *, store: Store
) -> PublishedRun:
    """Adopts the published run, and deletes this run's objects that the published manifest does not list."""
    delete_unlisted(winner, summaries, files, store=store)
    return PublishedRun(manifest=winner, already_published=True)


def delete_unlisted(
    manifest: Manifest, summaries: Sequence[StagedSummary], files: Sequence[RenderedFile], *, store: Store
) -> None:
    """Deletes the summaries and files that a manifest does not list and other runs do not share."""
    listed = {file.key for file in manifest.files} | {summary.object_key for summary in manifest.summaries}
    own = [*(file.key for file in files if not is_shared(file)), *(summary.object_key for summary in summaries)]
    store.delete(key for key in own if key not in listed)


def _write_summary_workbook(
    definition: ReportDefinition,
    run: StagedRun,
    summaries: Sequence[StagedSummary],
    *,
    files: Sequence[RenderedFile],
    notes: Sequence[str],
    store: Store,
) -> RenderedFile:
    request = run.plan.request
    name = summary_file_name(request, run.partitions)
    key = f"reports/{definition.name}/{run.layout.run_key}/{uuid.uuid4().hex}/{name}"
    uploads: list[Upload] = []

    @contextmanager
    def open_file(_: int) -> Iterator[Upload]:
        with store.open_upload(key, content_type=CONTENT_TYPES["xlsx"]) as upload:
            uploads.append(upload)
            yield upload

    def static_sheets(_: DetailOutcome) -> tuple[FactSheet | TableSheet, ...]:
        about = about_sheet(
            definition,
            request,
            dates=(request.start, request.end),
            created=True,
            staged=run.partitions,
            contents={"Rows": sum(part.rows for part in run.partitions), "Data files": len(files)},
            notes=notes,
        )
        index = (files_sheet(files),) if files else ()
        return (about, *summary_sheets(definition, summaries, store=store), *index)

    workbook = Workbook(
        title=definition.title,
        subject=f"{request.start} to {request.end}",
        made_at=datetime.fromisoformat(request.made_at),
        timezone=definition.timezone,
        detail=None,
        static_sheets=static_sheets,
    )
    write_workbook(workbook, open_file)
    return RenderedFile(
        name=name,
        key=key,
        rows=0,
        bytes=uploads[0].bytes,
        sha256=uploads[0].sha256,
        start=request.start,
        end=request.end,
        summaries_only=True,
    )


def _notes(run: StagedRun, files: Sequence[RenderedFile]) -> tuple[str, ...]:
    return (*run.plan.warnings, *(f"{file.name}: {note}" for file in files for note in file.notes))


def _change_warnings(definition: ReportDefinition, run: StagedRun, session: SourceSession) -> tuple[str, ...]:
    """Returns a warning that lists the partitions whose rows have changed since they were read.

    All files already exist, so an unavailable source causes a warning, not an error.
    """
    if not detects_changes(definition):
        return ()
    plan = run.plan
    try:
        with open_transaction(session, name=f"quire {definition.name} publish") as transaction:
            keys = changed_partitions(
                definition, plan.request, run.partitions, columns=plan.columns, transaction=transaction
            )
    except ReportError as error:
        return (f"Quire could not check whether rows changed at the source after they were read: {error.message}",)
    return (
        (f"Rows changed at the source after they were read: {', '.join(keys)}. Run the report again.",) if keys else ()
    )


def _manifest(
    definition: ReportDefinition,
    run: StagedRun,
    summaries: Sequence[StagedSummary],
    *,
    files: Sequence[RenderedFile],
    notes: Sequence[str],
    usage: tuple[TaskUsage, ...],
) -> Manifest:
    request = run.plan.request
    return Manifest(
        report=definition.name,
        run=run.layout.run_key,
        run_id=request.run_id,
        title=definition.title,
        made_at=request.made_at,
        start=request.start,
        end=request.end,
        timezone=request.timezone,
        parameters=request.parameters,
        rows=sum(part.rows for part in run.partitions),
        partitions=tuple(
            ManifestPartition(
                key=part.key,
                rows=part.rows,
                bytes=part.bytes,
                sha256=part.sha256,
                object_key=part.object_key,
                stored=part.cache_hit,
            )
            for part in run.partitions
        ),
        summaries=tuple(summaries),
        files=tuple(files),
        snapshot_at=max((part.snapshot_at for part in run.partitions), default=""),
        warnings=tuple(notes),
        usage=usage,
    )

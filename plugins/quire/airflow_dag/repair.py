"""Repeats a run in the publish task's process if one of the run's objects is damaged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from quire.airflow_dag.placement import max_extract_threads
from quire.errors import DamagedObjectError
from quire.object_store import Store
from quire.pipeline import run_report
from quire.postgres import SourceSession
from quire.record_types.manifest import PublishedRun
from quire.record_types.stage_records import RenderedFile, StagedRun, StagedSummary, TaskUsage
from quire.report.definition import ReportDefinition
from quire.stages.publish import delete_unlisted, publish_run

logger = logging.getLogger(__name__)


def publish_or_repeat(
    definition: ReportDefinition,
    run: StagedRun,
    summaries: Sequence[StagedSummary],
    *,
    files: Sequence[RenderedFile],
    session: SourceSession,
    store: Store,
    usage: Callable[[], tuple[TaskUsage, ...]],
    damage: str,
    lapsed: Callable[[], bool],
) -> PublishedRun:
    """Publishes a run, or runs all its stages again if one of its objects is damaged.

    Args:
        definition: the report.
        run: the staged run.
        summaries: the summaries that aggregate stored.
        files: the files that render wrote.
        session: the session for the source.
        store: the store that contains the run's objects.
        usage: see ``publish_run``.
        damage: the error message from an earlier task that read a damaged object, or an empty string.
        lapsed: see ``publish_run``.

    Raises:
        ReportError: a stage failed.
    """
    try:
        if damage:
            raise DamagedObjectError(damage)
        return publish_run(
            definition, run, summaries, files=files, session=session, store=store, usage=usage, lapsed=lapsed
        )
    except DamagedObjectError as error:
        logger.warning("%s; running all stages again", error)
    repeated = run_report(
        definition, run.plan.request, session=session, store=store, max_threads=max_extract_threads(definition)
    )
    published = repeated.published
    delete_unlisted(published.manifest, summaries, files, store=store)
    return published

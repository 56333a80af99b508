"""Runs all stages in a single process, for the command line and tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from quire.errors import DefinitionError
from quire.object_store import Store
from quire.partition_cache.cache import merge_partitions
from quire.partition_cache.damaged_objects import retry_on_damage
from quire.partition_cache.freshness import is_reusable
from quire.postgres import SourceSession
from quire.record_types.manifest import PublishedRun
from quire.record_types.stage_records import (
    RunPlan,
    StagedPartition,
    StagedRun,
    StagedSummary,
    TaskUsage,
)
from quire.report.definition import ReportDefinition
from quire.report.request import RunRequest
from quire.resource_usage import StageMeters
from quire.runs.leases import hold_lease
from quire.stage_threads import (
    MAX_EXTRACT_THREADS,
    StageProgress,
    extract_groups,
    ignore_progress,
    render_shards,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineResult:
    """The published run, its partitions (including cache hits), and the resources that each stage used."""

    published: PublishedRun
    partitions: tuple[StagedPartition, ...]
    seconds: dict[str, float]
    usage: tuple[TaskUsage, ...]


def run_report(
    definition: ReportDefinition,
    request: RunRequest,
    *,
    session: SourceSession,
    store: Store,
    progress: StageProgress = ignore_progress,
    max_threads: int = MAX_EXTRACT_THREADS,
) -> PipelineResult:
    """Runs plan, extract, layout, aggregate, render and publish. Starts over if a stored object is damaged.

    Args:
        definition: the report.
        request: the validated request.
        session: a session with the source database.
        store: the store for all objects.
        progress: called when a stage starts, advances or ends.
        max_threads: see ``extract_groups``.

    Raises:
        ReportError: a stage failed, so the run has no manifest.
    """
    store.check()
    with hold_lease(request, store=store) as lease:
        return retry_on_damage(
            lambda: _run_stages(
                definition, request,
                session=session, store=store, progress=progress, max_threads=max_threads, lapsed=lease.has_lapsed,
            )
        )  # fmt: skip


def _run_stages(
    definition: ReportDefinition,
    request: RunRequest,
    *,
    session: SourceSession,
    store: Store,
    progress: StageProgress,
    max_threads: int,
    lapsed: Callable[[], bool],
) -> PipelineResult:
    meters = StageMeters(request)
    plan, partitions = _stage_partitions(
        definition, request,
        session=session, store=store, progress=progress, meters=meters, max_threads=max_threads,
    )  # fmt: skip
    published = publish_partitions(
        definition, plan, partitions, session=session, store=store, progress=progress, meters=meters, lapsed=lapsed
    )
    usage = tuple(meters.usages)
    return PipelineResult(published=published, partitions=partitions, seconds=meters.seconds(), usage=usage)


def publish_partitions(
    definition: ReportDefinition,
    plan: RunPlan,
    partitions: Sequence[StagedPartition],
    *,
    session: SourceSession,
    store: Store,
    meters: StageMeters,
    lapsed: Callable[[], bool],
    progress: StageProgress = ignore_progress,
) -> PublishedRun:
    """Runs layout, aggregate, render and publish, one after the other: in parallel, they would need more memory.

    Args:
        definition: the report.
        plan: the run's plan.
        partitions: all partitions, in order.
        session: the source.
        store: the store for all objects.
        meters: measures the stages.
        lapsed: see ``publish_run``.
        progress: see ``run_report``.

    Raises:
        ReportError: a stage failed, so the run has no manifest.
    """
    from quire.stages.layout import layout_run
    from quire.stages.publish import publish_run

    with meters.stage("layout"):
        laid_out = layout_run(definition, plan, partitions, store=store)
    with meters.stage("aggregate") as meter:
        summaries = _aggregate(definition, laid_out.run, store=store, progress=progress)
        meter.count_written(summaries)
    with meters.stage("render") as meter:
        shards = [shard for group in laid_out.groups for shard in group]
        files = render_shards(definition, laid_out.run, shards, summaries=summaries, store=store, progress=progress)
        meter.count_written(files)
    session = session.with_own_log()
    with meters.stage("publish", session.statements) as meter:
        progress("publish", 0, 1)
        published = publish_run(
            definition, laid_out.run, summaries, files=files,
            session=session, store=store, usage=lambda: (*meters.usages, meter.usage()), lapsed=lapsed,
        )  # fmt: skip
        progress("publish", 1, 1)
    return published


def store_partitions(
    definition: ReportDefinition,
    request: RunRequest,
    *,
    session: SourceSession,
    store: Store,
    progress: StageProgress = ignore_progress,
) -> tuple[StagedPartition, ...]:
    """Runs plan and extract to store a date range's stale partitions for later runs.

    Args:
        definition: the report.
        request: the validated request.
        session: a session with the source database.
        store: the store for the partitions.
        progress: called when a stage starts, advances or ends.

    Returns:
        All partitions in the date range.

    Raises:
        DefinitionError: the report has ``freshness: always``, so later runs cannot reuse partitions.
        ReportError: a stage failed. Partitions that were stored before the failure remain.
    """
    if not is_reusable(definition, request):
        raise DefinitionError(
            "source.freshness is always: every run reads all rows, so partitions cannot be stored in advance",
            report=definition.name,
        )
    store.check()
    with hold_lease(request, store=store):
        _, staged = retry_on_damage(
            lambda: _stage_partitions(
                definition, request, session=session, store=store, progress=progress, meters=StageMeters(request)
            )
        )
    return staged


def _stage_partitions(
    definition: ReportDefinition,
    request: RunRequest,
    *,
    session: SourceSession,
    store: Store,
    progress: StageProgress,
    meters: StageMeters,
    max_threads: int = MAX_EXTRACT_THREADS,
) -> tuple[RunPlan, tuple[StagedPartition, ...]]:
    """Runs plan and extract. Returns the plan and all partitions, in order."""
    from quire.stages.plan import plan_partitions

    plan_session, extract_session = session.with_own_log(), session.with_own_log()
    with meters.stage("plan", plan_session.statements) as meter:
        progress("plan", 0, 1)
        planned = plan_partitions(definition, request, session=plan_session, store=store)
        meter.count(units=planned.partition_count)
        progress("plan", 1, 1)
    with meters.stage("extract", extract_session.statements) as meter:
        extracted = extract_groups(
            definition, planned, session=extract_session, store=store, progress=progress, max_threads=max_threads
        )
        meter.count_written(extracted)
    return planned.plan, merge_partitions(definition, planned.plan, (*planned.cached, *extracted))


def _aggregate(
    definition: ReportDefinition, run: StagedRun, *, store: Store, progress: StageProgress
) -> tuple[StagedSummary, ...]:
    from quire.stages.aggregate import aggregate_summaries

    progress("aggregate", 0, 1)
    summaries: tuple[StagedSummary, ...] = ()
    if not run.layout.already_published:
        summaries = aggregate_summaries(definition, run.plan, run.partitions, store=store)
    progress("aggregate", 1, 1)
    return summaries

"""Chooses the number of tasks for a run.

Airflow takes about a second to start a task after those it depends on. In a small run, the plan task therefore runs all
stages. In a larger run, each task gets several seconds of work.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain
from typing import Literal, get_args

from quire.airflow_dag.placement import max_extract_threads
from quire.date_range import DatePartition
from quire.errors import QueryError, SettingsError
from quire.object_store import Store
from quire.partition_cache.cache import merge_partitions
from quire.partition_cache.damaged_objects import retry_on_damage
from quire.pipeline import publish_partitions
from quire.postgres import SourceSession
from quire.record_types.manifest import PublishedRun
from quire.record_types.stage_records import LaidOutRun, PlannedRun, QueryEstimate, TaskUsage, WorkbookShard
from quire.report.definition import ReportDefinition, StageName
from quire.report.definition.field_types import parse_fan_out
from quire.report.request import RunRequest
from quire.resource_usage import StageMeters
from quire.runs.task_groups import MIN_SECONDS, START_SECONDS, divide_work, task_groups
from quire.runs.work_estimate import extract_seconds, output_seconds, render_seconds, scale_estimate
from quire.runs.workbook_cache import divide_shards
from quire.runs.workbook_shards import workbook_shards
from quire.settings import fan_out_setting
from quire.stage_threads import StageProgress, extract_groups, ignore_progress
from quire.stages.plan import estimate_uncached, plan_partitions

logger = logging.getLogger(__name__)

MAX_OVERRUN = 4  # a run that takes this many times as long as the limit fans out after all


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOutcome:
    """The plan task's result.

    Args:
        planned: the planned run. Its cached partitions include the ones that the task extracted.
        published: the published run, or None if the run fans out.
        usage: each stage's resource usage.
    """

    planned: PlannedRun
    published: PublishedRun | None = None
    usage: tuple[TaskUsage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTask:
    """The plan task for one run.

    Args:
        definition: the report.
        request: the validated request.
        session: the source.
        store: the store for all objects.
        lapsed: see ``publish_run``.
        limit: the maximum estimated seconds for a small run; None if the run must fan out.
        progress: called when a stage starts or advances.
    """

    definition: ReportDefinition
    request: RunRequest
    session: SourceSession
    store: Store
    lapsed: Callable[[], bool]
    limit: float | None
    progress: StageProgress = ignore_progress

    def execute(self) -> PlanOutcome:
        """Plans the run and, if it is small, runs its other stages.

        If the run turns out to be larger than estimated, it fans out and keeps the partitions already extracted.

        Raises:
            ReportError: a stage failed.
        """
        return retry_on_damage(self._execute)

    def _execute(self) -> PlanOutcome:
        definition, meters = self.definition, StageMeters(self.request)
        session = self.session.with_own_log()
        with meters.stage("plan", session.statements) as meter:
            planned = plan_partitions(definition, self.request, session=session, store=self.store)
            meter.count(units=planned.partition_count)
        estimate = self._estimate(planned)
        if estimate is None:
            return PlanOutcome(planned=planned, usage=tuple(meters.usages))
        run_seconds = _run_seconds(definition, planned, estimate)
        saved_seconds = 0.0
        if self.limit is not None and run_seconds > self.limit:
            saved_seconds = _cached_seconds(definition, planned, store=self.store)
            run_seconds -= saved_seconds
        if self.limit is None or run_seconds > self.limit:
            logger.info("%s: about %.1f s of work; the run fans out", definition.name, run_seconds)
            merged = _divide_partitions(definition, planned, estimate)
            return PlanOutcome(planned=merged, usage=tuple(meters.usages))
        logger.info("%s: about %.1f s of work; this task runs all stages", definition.name, run_seconds)
        planned, is_overrun = self._extract(planned, meters, max_seconds=self.limit * MAX_OVERRUN, saved=saved_seconds)
        if planned.groups or is_overrun:
            logger.info("%s: the run is larger than estimated, so it fans out", definition.name)
            return PlanOutcome(planned=planned, usage=tuple(meters.usages))
        published = publish_partitions(
            definition,
            planned.plan,
            merge_partitions(definition, planned.plan, planned.cached),
            session=self.session,
            store=self.store,
            meters=meters,
            lapsed=self.lapsed,
            progress=self.progress,
        )
        return PlanOutcome(planned=planned, published=published, usage=tuple(meters.usages))

    def _estimate(self, planned: PlannedRun) -> QueryEstimate | None:
        """Returns the planner's estimate, or None if it would have no effect or PostgreSQL cannot make one."""
        if fan_out_limit(self.definition, self.request) == "always":
            return None
        try:
            return estimate_uncached(self.definition, planned, session=self.session.with_own_log())
        except QueryError as error:
            logger.warning("%s; the run fans out, because its work cannot be estimated", error)
            return None

    def _extract(
        self, planned: PlannedRun, meters: StageMeters, *, max_seconds: float, saved: float
    ) -> tuple[PlannedRun, bool]:
        """Returns the run with its extracted partitions, and whether it takes longer than ``max_seconds``.

        Args:
            planned: the planned run.
            meters: measures the stage.
            max_seconds: after this time, no further extraction starts.
            saved: the seconds that cached workbooks save.
        """
        began, session = time.monotonic(), self.session.with_own_log()
        with meters.stage("extract", session.statements) as meter:
            extracted = extract_groups(
                self.definition,
                planned,
                session=session,
                store=self.store,
                progress=self.progress,
                max_seconds=max_seconds,
                max_threads=max_extract_threads(self.definition),
            )
            meter.count_written(extracted)
        keys = {partition.key for partition in extracted}
        remaining = [part for group in planned.groups for part in group if part.key not in keys]
        planned = replace(planned, cached=(*planned.cached, *extracted), groups=task_groups(remaining))
        output = _output_seconds(self.definition, planned, QueryEstimate())
        return planned, time.monotonic() - began + output - saved > max_seconds


def small_run_limit(definition: ReportDefinition, request: RunRequest) -> float | None:
    """Returns the maximum estimated seconds for a small run, or None if the run must fan out.

    A run fans out if the request or the definition says so, or if any stage's queue or pool differs from plan's: queues
    isolate a stage's work, and pools limit it.

    Raises:
        SettingsError: ``QUIRE_FAN_OUT`` is malformed.
    """
    for configured in (definition.queues, definition.pools):
        if len({configured.get(stage) for stage in get_args(StageName)}) > 1:
            return None
    limit = fan_out_limit(definition, request)
    return None if limit == "always" else limit.total_seconds()


def fan_out_limit(definition: ReportDefinition, request: RunRequest) -> Literal["always"] | timedelta:
    """Returns the estimated work above which a run fans out, or ``always``.

    Raises:
        SettingsError: ``QUIRE_FAN_OUT`` is malformed.
    """
    try:
        limit: Literal["always"] | timedelta = definition.fan_out or parse_fan_out(fan_out_setting())
    except ValueError as error:
        raise SettingsError(f"QUIRE_FAN_OUT {error}") from error
    return "always" if request.fan_out else limit


def divide_workbooks(definition: ReportDefinition, laid_out: LaidOutRun) -> LaidOutRun:
    """Divides workbooks among tasks by their work, unless the run must have as many tasks as possible.

    Raises:
        SettingsError: ``QUIRE_FAN_OUT`` is malformed.
    """
    plan = laid_out.run.plan
    if fan_out_limit(definition, plan.request) == "always":
        return laid_out

    def shard_seconds(shard: WorkbookShard) -> float:
        return render_seconds(definition, plan.columns, rows=shard.rows, files=1, formats=tuple(shard.keys))

    return replace(laid_out, groups=divide_work(chain(*laid_out.groups), shard_seconds))


def _divide_partitions(definition: ReportDefinition, planned: PlannedRun, estimate: QueryEstimate) -> PlannedRun:
    """Divides partitions among tasks by their work, with enough tasks for ``source.parallel`` if they are worth it."""
    partitions = tuple(chain(*planned.groups))
    days = sum(partition.day_count for partition in partitions)

    def partition_seconds(partition: DatePartition) -> float:
        own = scale_estimate(estimate, days=partition.day_count, total_days=days)
        return extract_seconds(planned.plan.columns, own, partitions=1)

    total = sum(map(partition_seconds, partitions))
    tasks = min(definition.source.parallel, math.ceil(total / START_SECONDS))
    min_seconds = min(MIN_SECONDS, total / max(1, tasks))
    return replace(planned, groups=divide_work(partitions, partition_seconds, min_seconds=min_seconds))


def _run_seconds(definition: ReportDefinition, planned: PlannedRun, estimate: QueryEstimate) -> float:
    uncached = sum(map(len, planned.groups))
    extract = extract_seconds(planned.plan.columns, estimate, partitions=uncached)
    return extract + _output_seconds(definition, planned, estimate)


def _cached_seconds(definition: ReportDefinition, planned: PlannedRun, *, store: Store) -> float:
    """Returns the estimated seconds for rendering the workbooks of cached partitions that are already cached."""
    if definition.workbook.split != "partition":  # the shards are not known until all partitions are extracted
        return 0.0
    plan = planned.plan
    shards = workbook_shards(definition, plan, planned.cached)
    _, cached = divide_shards(definition, plan, planned.cached, shards=shards, store=store)
    return sum(
        render_seconds(definition, plan.columns, rows=file.rows, files=1, formats=[file.name.rpartition(".")[2]])
        for file in cached
    )


def _output_seconds(definition: ReportDefinition, planned: PlannedRun, estimate: QueryEstimate) -> float:
    return output_seconds(
        definition,
        planned.plan.columns,
        rows=estimate.rows + sum(partition.rows for partition in planned.cached),
        partitions=planned.partition_count,
        formats=definition.file_formats(planned.plan.request.formats),
    )

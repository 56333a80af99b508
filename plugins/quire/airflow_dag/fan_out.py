"""Divides a run into as many tasks as its work is worth.

Airflow takes about a second to start a task after those it depends on. The plan task of a small run therefore runs all
stages, and the tasks of a larger run get several seconds of work each.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from quire.date_range import DatePartition
from quire.errors import SettingsError
from quire.object_store import Store
from quire.partition_cache.cache import merge_partitions
from quire.partition_cache.damaged_objects import retry_on_damage
from quire.pipeline import extract_groups, publish_partitions
from quire.postgres import SourceSession
from quire.report.definition import ReportDefinition
from quire.report.definition.field_types import parse_fan_out
from quire.report.request import RunRequest
from quire.resource_usage import StageMeters
from quire.run_records.manifest import PublishedRun
from quire.run_records.stage_records import LaidOutRun, PlannedRun, StagedPartition, TaskUsage, WorkbookShard
from quire.runs.task_groups import merge_groups, task_groups
from quire.runs.work_estimate import extract_seconds, output_seconds, render_seconds, scale_estimate
from quire.settings import fan_out_setting
from quire.stages.plan import plan_partitions

logger = logging.getLogger(__name__)

MAX_OVERRUN = 4  # a run that takes this many times as long as the limit fans out after all


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOutcome:
    """What the plan task has done of a run.

    Args:
        planned: the planned run. Its cached partitions include those that the task extracted.
        extracted: the partitions that the task extracted.
        published: the published run, or None if the run fans out.
        usage: the resource usage of each stage.
    """

    planned: PlannedRun
    extracted: tuple[StagedPartition, ...] = ()
    published: PublishedRun | None = None
    usage: tuple[TaskUsage, ...]


def plan_or_publish(
    definition: ReportDefinition,
    request: RunRequest,
    *,
    session: SourceSession,
    store: Store,
    lapsed: Callable[[], bool],
    limit: float | None,
) -> PlanOutcome:
    """Plans a run, and runs its other stages if it is small.

    If the run turns out to be larger than estimated, it fans out, and keeps the partitions that are already extracted.

    Args:
        definition: the report.
        request: the validated request.
        session: the source.
        store: the store of all objects.
        lapsed: see ``publish_run``.
        limit: the maximum estimated seconds of a small run; None if the run must fan out.

    Raises:
        ReportError: a stage failed.
    """
    return retry_on_damage(
        lambda: _plan_or_publish(definition, request, session=session, store=store, lapsed=lapsed, limit=limit)
    )


def _plan_or_publish(
    definition: ReportDefinition,
    request: RunRequest,
    *,
    session: SourceSession,
    store: Store,
    lapsed: Callable[[], bool],
    limit: float | None,
) -> PlanOutcome:
    meters = StageMeters(request)
    with meters.stage("plan", (session := session.with_own_log()).statements) as meter:
        planned = plan_partitions(definition, request, session=session, store=store)
        meter.count(units=planned.partition_count)
    seconds = _estimated_seconds(definition, planned)
    if limit is None or seconds > limit:
        logger.info("%s: about %.1f s of work, divided into several tasks", definition.name, seconds)
        return PlanOutcome(planned=_size_tasks(definition, planned), usage=tuple(meters.usages))
    logger.info("%s: about %.1f s of work, running all stages in this task", definition.name, seconds)
    began = time.monotonic()
    with meters.stage("extract", (session := session.with_own_log()).statements) as meter:
        extracted = extract_groups(definition, planned, session=session, store=store, max_seconds=limit * MAX_OVERRUN)
        meter.count_written(extracted)
    planned = _with_extracted(planned, extracted)
    overrun = time.monotonic() - began + _output_seconds(definition, planned) > limit * MAX_OVERRUN
    if planned.groups or overrun:
        logger.info("%s: the run is larger than estimated, so it fans out", definition.name)
        sized = _size_tasks(definition, planned)
        return PlanOutcome(planned=sized, extracted=extracted, usage=tuple(meters.usages))
    published = publish_partitions(
        definition,
        planned.plan,
        merge_partitions(definition, planned.plan, planned.cached),
        session=session,
        store=store,
        meters=meters,
        lapsed=lapsed,
    )
    return PlanOutcome(planned=planned, extracted=extracted, published=published, usage=tuple(meters.usages))


def small_run_limit(definition: ReportDefinition, request: RunRequest) -> float | None:
    """Returns the maximum estimated seconds of a small run, or None if the run must fan out.

    A run fans out if the request or the definition says so, or if a stage has a queue or a pool that plan lacks: the
    queue separates, and the pool limits, the work of that stage.

    Raises:
        SettingsError: ``QUIRE_FAN_OUT`` is malformed.
    """
    places = (definition.queues, definition.pools)
    if any(set(place.values()) - {place.get("plan")} for place in places):
        return None
    limit = _fan_out(definition, request)
    return None if limit == "always" else limit.total_seconds()


def size_workbook_tasks(definition: ReportDefinition, laid_out: LaidOutRun) -> LaidOutRun:
    """Merges groups of workbooks by their estimated work, unless the run fans out on request.

    Raises:
        SettingsError: ``QUIRE_FAN_OUT`` is malformed.
    """
    plan = laid_out.run.plan
    if _fan_out(definition, plan.request) == "always":
        return laid_out
    formats = definition.file_formats(plan.request.formats)

    def seconds(shard: WorkbookShard) -> float:
        rows = sum(part.rows for part in shard.slices)
        return render_seconds(definition, plan.columns, rows=rows, files=1, formats=formats)

    return replace(laid_out, groups=merge_groups(laid_out.groups, seconds))


def _size_tasks(definition: ReportDefinition, planned: PlannedRun) -> PlannedRun:
    """Merges groups of partitions by their estimated work, unless the run fans out on request."""
    days = sum(_days(partition) for group in planned.groups for partition in group)
    if not days or _fan_out(definition, planned.plan.request) == "always":
        return planned

    def seconds(partition: DatePartition) -> float:
        estimate = scale_estimate(planned.uncached, days=_days(partition), total_days=days)
        return extract_seconds(planned.plan.columns, estimate, partitions=1)

    return replace(planned, groups=merge_groups(planned.groups, seconds))


def _days(partition: DatePartition) -> int:
    return (partition.stop - partition.start).days


def _fan_out(definition: ReportDefinition, request: RunRequest) -> Literal["always"] | timedelta:
    try:
        setting: Literal["always"] | timedelta = definition.fan_out or parse_fan_out(fan_out_setting())
    except ValueError as error:
        raise SettingsError(f"QUIRE_FAN_OUT {error}") from error
    return "always" if request.fan_out else setting


def _estimated_seconds(definition: ReportDefinition, planned: PlannedRun) -> float:
    uncached = sum(map(len, planned.groups))
    extract = extract_seconds(planned.plan.columns, planned.uncached, partitions=uncached)
    return extract + _output_seconds(definition, planned)


def _output_seconds(definition: ReportDefinition, planned: PlannedRun) -> float:
    return output_seconds(
        definition,
        planned.plan.columns,
        rows=planned.uncached.rows + sum(partition.rows for partition in planned.cached),
        partitions=planned.partition_count,
        formats=definition.file_formats(planned.plan.request.formats),
    )


def _with_extracted(planned: PlannedRun, extracted: tuple[StagedPartition, ...]) -> PlannedRun:
    keys = {partition.key for partition in extracted}
    remaining = [partition for group in planned.groups for partition in group if partition.key not in keys]
    days = sum(_days(partition) for group in planned.groups for partition in group)
    uncached = scale_estimate(planned.uncached, days=sum(map(_days, remaining)), total_days=max(days, 1))
    return replace(planned, cached=(*planned.cached, *extracted), groups=task_groups(remaining), uncached=uncached)

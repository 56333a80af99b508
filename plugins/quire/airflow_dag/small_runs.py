"""Runs all stages in the plan task if the run is small: each dependent task would cost Airflow about a second."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

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
from quire.run_records.stage_records import PlannedRun, StagedPartition, TaskUsage
from quire.runs.task_groups import task_groups
from quire.runs.work_estimate import extract_seconds, output_seconds
from quire.settings import fan_out
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
    if limit is None or (seconds := _estimated_seconds(definition, planned)) > limit:
        return PlanOutcome(planned=planned, usage=tuple(meters.usages))
    logger.info("%s: about %.1f s of work, running all stages in this task", definition.name, seconds)
    began = time.monotonic()
    with meters.stage("extract", (session := session.with_own_log()).statements) as meter:
        extracted = extract_groups(definition, planned, session=session, store=store, max_seconds=limit * MAX_OVERRUN)
        meter.count_written(extracted)
    planned = _with_extracted(planned, extracted)
    overrun = time.monotonic() - began + _output_seconds(definition, planned) > limit * MAX_OVERRUN
    if planned.groups or overrun:
        logger.info("%s: the run is larger than estimated, so it fans out", definition.name)
        return PlanOutcome(planned=planned, extracted=extracted, usage=tuple(meters.usages))
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
    if request.fan_out or any(set(place.values()) - {place.get("plan")} for place in places):
        return None
    try:
        limit = definition.fan_out or parse_fan_out(fan_out())
    except ValueError as error:
        raise SettingsError(f"QUIRE_FAN_OUT {error}") from error
    return None if limit == "always" else limit.total_seconds()


def _estimated_seconds(definition: ReportDefinition, planned: PlannedRun) -> float:
    uncached = sum(map(len, planned.groups))
    return _output_seconds(definition, planned) + extract_seconds(
        planned.plan.columns, rows=planned.uncached.rows, partitions=uncached, query_cost=planned.uncached.cost
    )


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
    share = len(remaining) / max(1, sum(map(len, planned.groups)))
    return replace(
        planned,
        cached=(*planned.cached, *extracted),
        groups=task_groups(remaining),
        uncached=replace(planned.uncached, rows=planned.uncached.rows * share, cost=planned.uncached.cost * share),
    )

"""Defines an Airflow task for each stage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import TriggerRule, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from quire.airflow_dag.assets import (
    add_outlets,
    partition_outlets,
    partitions_of_run,
    record_partitions,
    record_publication,
    report_asset,
)
from quire.airflow_dag.connections import open_session, open_store
from quire.airflow_dag.operator_links import RunPageLink
from quire.airflow_dag.placement import placement
from quire.airflow_dag.progress import progress_pusher
from quire.airflow_dag.skipped_stages import ensure_not_skipped, skip_stages
from quire.airflow_dag.task_decorator import quire_task
from quire.airflow_dag.xcom import PUBLISH, RETURN_VALUE, SealedXComs, current_request
from quire.record_types.run_result import summarize_run
from quire.record_types.stage_records import RenderedFile, StagedSummary
from quire.report.definition import ReportDefinition, StageName

OTHER_STAGES: tuple[StageName, ...] = ("extract", "layout", "aggregate", "render", "publish")  # all but plan
EXTRACT_TIMEOUTS = 8  # multiplied by source.timeout; sufficient for a task with many small partitions


def plan_task(definition: ReportDefinition, *, may_publish: bool = True) -> Any:
    """Returns the plan task.

    Args:
        definition: the report.
        may_publish: whether the task runs a small run's other stages itself and has Airflow skip their tasks.
    """

    @quire_task(
        task_id="plan",
        execution_timeout=definition.source.timeout * 2 + timedelta(hours=1),  # a small run has at most 10 min of work
        **placement(definition, "plan"),
    )
    def plan() -> Any:
        from quire.airflow_dag.fan_out import PlanTask, small_run_limit
        from quire.runs.leases import hold_lease, release_lease

        request = current_request(definition)
        limit = small_run_limit(definition, request) if may_publish else None
        session, store = open_session(definition), open_store()
        xcoms = SealedXComs(definition, store=store)
        with hold_lease(request, store=store, release=False) as lease:
            task = PlanTask(
                definition=definition, request=request, session=session, store=store,
                lapsed=lease.has_lapsed, limit=limit, progress=progress_pusher(get_current_context()["ti"]),
            )  # fmt: skip
            outcome = task.execute()
        groups = xcoms.push_planned(outcome.planned, is_published=outcome.published is not None)
        if extracted := partitions_of_run(outcome.planned.cached):
            add_outlets(partition_outlets(definition))
            record_partitions(definition, request, extracted)
        if outcome.published is None:
            xcoms.push_usages(outcome.usage)
            ensure_not_skipped(OTHER_STAGES)
            return groups
        release_lease(request.report, request.run_id, store=store)
        add_outlets([report_asset(definition)])
        result = summarize_run(outcome.published, published_at=datetime.now(UTC))
        xcoms.push_published(result)
        get_current_context()["ti"].xcom_push(RETURN_VALUE, record_publication(definition, result))
        skip_stages(OTHER_STAGES)

    returned: Any = plan()
    if may_publish:
        returned.operator.operator_extra_links = (RunPageLink(),)
        returned.operator._can_skip_downstream = True  # Airflow skips the stages again if a user clears them
    return returned


def extract_task(definition: ReportDefinition, plan: Any, groups: Any) -> Any:
    """Returns the extract task, mapped over plan's groups. The task adds reusable partitions to its asset."""

    @quire_task(
        task_id="extract",
        execution_timeout=definition.source.timeout * EXTRACT_TIMEOUTS,
        max_active_tis_per_dagrun=definition.source.parallel,
        map_index_template="{{ label }}",
        outlets=partition_outlets(definition),
        **placement(definition, "extract"),
    )
    def extract(plan: Any, group: Any) -> Any:
        from quire.runs.leases import hold_lease
        from quire.stages.extract import extract_partitions

        session, store = open_session(definition), open_store()
        xcoms = SealedXComs(definition, store=store)
        planned, partitions = xcoms.plan(plan), xcoms.partition_group(group)
        with (
            hold_lease(planned.request, store=store, first=False, release=False),
            xcoms.measure_usage("extract", [part.key for part in partitions], session.statements) as meter,
        ):
            extracted = extract_partitions(definition, planned, partitions, session=session, store=store)
            meter.count_written(extracted)
        record_partitions(definition, planned.request, extracted)
        return xcoms.seal_partitions(extracted)

    return extract.partial(plan=plan).expand(group=groups)


def layout_task(definition: ReportDefinition, plan: Any, cached: Any, *, partitions: Any) -> Any:
    """Returns the layout task, which determines whether aggregate and render have any work to do."""

    @quire_task(
        task_id="layout",
        execution_timeout=timedelta(minutes=10),
        trigger_rule=TriggerRule.NONE_FAILED,  # Airflow skips extract if all partitions are cached
        **placement(definition, "layout"),
    )
    def layout(plan: Any, cached: Any, partitions: Any) -> Any:
        from quire.airflow_dag.fan_out import divide_workbooks
        from quire.stages.layout import layout_run

        store = open_store()
        xcoms = SealedXComs(definition, store=store)
        with xcoms.measure_usage("layout", [definition.name]):
            opened = xcoms.plan(plan)
            merged = xcoms.partitions(opened, cached, partitions)
            laid_out = layout_run(definition, opened, merged, store=store)
            return xcoms.push_laid_out(divide_workbooks(definition, laid_out))

    return layout(plan, cached, partitions)


def aggregate_task(definition: ReportDefinition, run: Any) -> Any:
    """Returns the aggregate task, which skips itself if the run is already published."""

    @quire_task(
        task_id="aggregate",
        execution_timeout=timedelta(hours=2),
        **placement(definition, "aggregate"),
    )
    def aggregate(run: Any) -> Any:
        from quire.runs.leases import hold_lease
        from quire.stages.aggregate import aggregate_summaries

        store = open_store()
        xcoms = SealedXComs(definition, store=store)
        staged = xcoms.run(run)
        if staged.layout.already_published:
            xcoms.push_skipped("aggregate", definition.name)
            raise AirflowSkipException(f"run {staged.layout.run_key} is already published")
        with (
            hold_lease(staged.plan.request, store=store, first=False, release=False),
            xcoms.measure_usage("aggregate", [definition.name]) as meter,
        ):
            summaries: tuple[StagedSummary, ...] = ()
            with xcoms.capture_damage():
                summaries = aggregate_summaries(definition, staged.plan, staged.partitions, store=store)
            meter.count_written(summaries)
        return xcoms.seal_summaries(summaries)

    return aggregate(run)


def render_task(definition: ReportDefinition, run: Any, groups: Any, *, summaries: Any, damage: Any) -> Any:
    """Returns the render task, mapped over the groups that layout returned.

    Args:
        definition: the report.
        run: the staged run.
        groups: the workbook groups.
        summaries: aggregate's return value if the workbook contains the summaries, else None.
        damage: the value that aggregate pushes under ``DAMAGE`` if the workbook contains the summaries, else None.
    """

    @quire_task(
        task_id="render",
        execution_timeout=timedelta(hours=6),
        map_index_template="{{ label }}",
        **placement(definition, "render"),
    )
    def render(run: Any, shards: Any, summaries: Any, *, damage: Any) -> Any:
        from quire.runs.leases import hold_lease
        from quire.stage_threads import render_shards

        store = open_store()
        xcoms = SealedXComs(definition, store=store)
        staged, workbooks = xcoms.run(run), xcoms.shard_group(shards)
        files: tuple[RenderedFile, ...] = ()
        if xcoms.damage(damage):  # publish repeats the run
            return xcoms.seal_files(files)
        opened = xcoms.summaries(staged, summaries) if staged.layout.summaries_with_rows else ()
        with (
            hold_lease(staged.plan.request, store=store, first=False, release=False),
            xcoms.measure_usage("render", [shard.stem for shard in workbooks]) as meter,
        ):
            with xcoms.capture_damage():
                files = render_shards(definition, staged, workbooks, summaries=opened, store=store)
            meter.count_written(files)
        return xcoms.seal_files(files)

    return render.partial(run=run, summaries=summaries, damage=damage).expand(shards=groups)


def publish_task(
    definition: ReportDefinition, run: Any, summaries: Any, *, files: Any, usages: list[Any], damages: list[Any]
) -> Any:
    """Returns the publish task, which updates the report's asset and returns the files.

    If publish or an earlier task reads a damaged object, publish repeats all stages in its own process. In the repeated
    stages, undamaged partitions are cache hits and damaged partitions are cache misses.
    """

    @quire_task(
        task_id=PUBLISH,
        execution_timeout=timedelta(hours=6),  # including a repeated run
        trigger_rule=TriggerRule.NONE_FAILED,  # Airflow skips aggregate and render if the run is published
        outlets=[report_asset(definition)],
        **placement(definition, "publish"),
    )
    def publish(run: Any, summaries: Any, files: Any, *, usages: Any, damages: Any) -> Any:
        from quire.airflow_dag.repair import publish_or_repeat
        from quire.runs.leases import hold_lease, release_lease

        session, store = open_session(definition), open_store()
        xcoms = SealedXComs(definition, store=store)
        staged, damage, earlier = xcoms.run(run), xcoms.damage(*damages), xcoms.usages(*usages)
        aggregated, rendered = xcoms.summaries(staged, summaries), xcoms.files(files)
        with (
            hold_lease(staged.plan.request, store=store, first=False, release=False) as lease,
            xcoms.measure_usage("publish", [definition.name], session.statements) as meter,
        ):
            published = publish_or_repeat(
                definition,
                staged,
                aggregated,
                files=rendered,
                session=session,
                store=store,
                usage=lambda: (*earlier, meter.usage()),
                damage=damage,
                lapsed=lease.has_lapsed,
            )
        release_lease(staged.plan.request.report, staged.plan.request.run_id, store=store)
        result = summarize_run(published, published_at=datetime.now(UTC))
        xcoms.push_published(result)
        return record_publication(definition, result)

    returned: Any = publish(run, summaries, files, usages=usages, damages=damages)
    returned.operator.operator_extra_links = (RunPageLink(),)
    return returned

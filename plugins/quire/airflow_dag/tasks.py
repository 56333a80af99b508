"""Defines an Airflow task for each stage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, TriggerRule, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from quire.airflow_dag.connections import open_session, open_store, owner_address
from quire.airflow_dag.operator_links import RunPageLink
from quire.airflow_dag.task_decorator import own_task
from quire.airflow_dag.xcom import PUBLISH, Handover, current_request
from quire.notifications import RunResult
from quire.partition_cache.freshness import detects_changes, is_reusable
from quire.report.definition import ReportDefinition, StageName
from quire.run_records.serialization import from_json, to_json
from quire.run_records.stage_records import RenderedFile, StagedSummary
from quire.settings import include_folder, pod_template

EXTRACT_TIMEOUTS = 8  # multiplied by source.timeout; sufficient for a task with many small partitions


def report_asset(definition: ReportDefinition) -> Asset:
    """Returns the asset that publish updates. Other DAGs can depend on this asset."""
    return Asset(name=definition.name, uri=f"quire://reports/{definition.name}")


def partitions_asset(definition: ReportDefinition) -> Asset:
    """Returns the asset to which extract adds the keys of the partitions that it stores."""
    return Asset(name=f"{definition.name}_partitions", uri=f"quire://partitions/{definition.name}")


def plan_task(definition: ReportDefinition) -> Any:
    """Returns the plan task."""

    @own_task(
        task_id="plan",
        execution_timeout=definition.source.timeout + timedelta(minutes=10),
        **placement(definition, "plan"),
    )
    def plan() -> Any:
        from quire.runs.leases import hold_lease
        from quire.stages.plan import plan_partitions

        request = current_request(definition)
        session, store = open_session(definition), open_store()
        handover = Handover(definition, store=store)
        with (
            hold_lease(request, store=store, release=False),
            handover.usage_pushed("plan", [definition.name], session.statements) as meter,
        ):
            planned = plan_partitions(definition, request, session=session, store=store)
            meter.count(units=planned.partition_count)
            groups = handover.push_planned(planned)
        return groups

    return plan()


def extract_task(definition: ReportDefinition, plan: Any, groups: Any) -> Any:
    """Returns the extract task, mapped over plan's groups. The task adds reusable partitions to its asset."""
    asset = partitions_asset(definition)
    has_events = detects_changes(definition)

    @own_task(
        task_id="extract",
        execution_timeout=definition.source.timeout * EXTRACT_TIMEOUTS,
        max_active_tis_per_dagrun=definition.source.parallel,
        map_index_template="{{ label }}",
        outlets=[asset] if has_events else [],
        **placement(definition, "extract"),
    )
    def extract(plan: Any, group: Any) -> Any:
        from quire.runs.leases import hold_lease
        from quire.stages.extract import extract_partitions

        session, store = open_session(definition), open_store()
        handover = Handover(definition, store=store)
        planned, partitions = handover.plan(plan), handover.partition_group(group)
        with (
            hold_lease(planned.request, store=store, first=False, release=False),
            handover.usage_pushed("extract", [part.key for part in partitions], session.statements) as meter,
        ):
            extracted = extract_partitions(definition, planned, partitions, session=session, store=store)
            meter.count_written(extracted)
        if has_events and is_reusable(definition, planned.request):
            event = get_current_context()["outlet_events"][asset]
            event.add_partitions([part.key for part in extracted])
            event.extra = {"report": definition.name, "parameters": planned.request.parameters}
        return handover.seal_partitions(extracted)

    return extract.partial(plan=plan).expand(group=groups)


def layout_task(definition: ReportDefinition, plan: Any, cached: Any, partitions: Any) -> Any:
    """Returns the layout task, which determines whether aggregate and render have any work to do."""

    @own_task(
        task_id="layout",
        execution_timeout=timedelta(minutes=10),
        trigger_rule=TriggerRule.NONE_FAILED,  # Airflow skips extract if all partitions are cached
        **placement(definition, "layout"),
    )
    def layout(plan: Any, cached: Any, partitions: Any) -> Any:
        from quire.stages.layout import layout_run

        store = open_store()
        handover = Handover(definition, store=store)
        with handover.usage_pushed("layout", [definition.name]):
            opened = handover.plan(plan)
            merged = handover.partitions(opened, cached, partitions)
            return handover.push_laid_out(layout_run(definition, opened, merged, store=store))

    return layout(plan, cached, partitions)


def aggregate_task(definition: ReportDefinition, run: Any) -> Any:
    """Returns the aggregate task, which skips itself if the run is already published."""

    @own_task(
        task_id="aggregate",
        execution_timeout=timedelta(hours=2),
        **placement(definition, "aggregate"),
    )
    def aggregate(run: Any) -> Any:
        from quire.runs.leases import hold_lease
        from quire.stages.aggregate import aggregate_summaries

        store = open_store()
        handover = Handover(definition, store=store)
        staged = handover.run(run)
        if staged.layout.already_published:
            handover.push_skipped("aggregate", definition.name)
            raise AirflowSkipException(f"run {staged.layout.run_key} is already published")
        with (
            hold_lease(staged.plan.request, store=store, first=False, release=False),
            handover.usage_pushed("aggregate", [definition.name]) as meter,
        ):
            summaries: tuple[StagedSummary, ...] = ()
            with handover.damage_pushed():
                summaries = aggregate_summaries(definition, staged.plan, staged.partitions, store=store)
            meter.count_written(summaries)
        return handover.seal_summaries(summaries)

    return aggregate(run)


def render_task(definition: ReportDefinition, run: Any, groups: Any, *, summaries: Any, damage: Any) -> Any:
    """Returns the render task, mapped over the groups that layout returned.

    Args:
        definition: the report.
        run: the staged run.
        groups: the groups of workbooks.
        summaries: the return value of aggregate if the workbook contains the summaries, else None.
        damage: the value that aggregate pushes under ``DAMAGE`` if the workbook contains the summaries, else None.
    """

    @own_task(
        task_id="render",
        execution_timeout=timedelta(hours=6),
        map_index_template="{{ label }}",
        **placement(definition, "render"),
    )
    def render(run: Any, shards: Any, summaries: Any, damage: Any) -> Any:
        from quire.runs.leases import hold_lease
        from quire.stages.render import render_workbooks

        store = open_store()
        handover = Handover(definition, store=store)
        staged, workbooks = handover.run(run), handover.shard_group(shards)
        files: tuple[RenderedFile, ...] = ()
        if handover.damage(damage):  # publish repeats the run
            return handover.seal_files(files)
        opened = handover.summaries(staged, summaries) if staged.layout.summaries_with_rows else ()
        with (
            hold_lease(staged.plan.request, store=store, first=False, release=False),
            handover.usage_pushed("render", [shard.stem for shard in workbooks]) as meter,
        ):
            with handover.damage_pushed():
                files = render_workbooks(definition, staged, workbooks, summaries=opened, store=store)
            meter.count_written(files)
        return handover.seal_files(files)

    return render.partial(run=run, summaries=summaries, damage=damage).expand(shards=groups)


def publish_task(
    definition: ReportDefinition, run: Any, summaries: Any, files: Any, usages: list[Any], damages: list[Any]
) -> Any:
    """Returns the publish task, which updates the report's asset and returns the files.

    If publish or an earlier task reads a damaged object, publish repeats all stages in its own process. In the repeated
    stages, undamaged partitions are cache hits and damaged partitions are cache misses.
    """
    asset = report_asset(definition)

    @own_task(
        task_id=PUBLISH,
        execution_timeout=timedelta(hours=6),  # including a repeated run
        trigger_rule=TriggerRule.NONE_FAILED,  # Airflow skips aggregate and render if the run is published
        outlets=[asset],
        **placement(definition, "publish"),
    )
    def publish(run: Any, summaries: Any, files: Any, usages: Any, damages: Any) -> Any:
        from quire.airflow_dag.repair import publish_or_repeat
        from quire.runs.leases import hold_lease, release_lease

        session, store = open_session(definition), open_store()
        handover = Handover(definition, store=store)
        staged, damage, earlier = handover.run(run), handover.damage(*damages), handover.usages(*usages)
        aggregated, rendered = handover.summaries(staged, summaries), handover.files(files)
        with (
            hold_lease(staged.plan.request, store=store, first=False, release=False) as lease,
            handover.usage_pushed("publish", [definition.name], session.statements) as meter,
        ):
            published = publish_or_repeat(
                definition,
                staged,
                aggregated,
                rendered,
                session=session,
                store=store,
                usage=lambda: (*earlier, meter.usage()),
                damage=damage,
                lapsed=lease.has_lapsed,
            )
        release_lease(staged.plan.request.report, staged.plan.request.run_id, store=store)
        manifest = published.manifest
        summary: dict[str, Any] = {
            "report": manifest.report,
            "run": manifest.run,
            "reused": published.already_published,
            "rows": manifest.rows,
            "files": [
                {
                    "name": file.name,
                    "key": file.key,
                    "rows": file.rows,
                    "bytes": file.bytes,
                    "earliest": file.earliest,
                    "latest": file.latest,
                }
                for file in manifest.files
            ],
            "warnings": list(manifest.warnings),
            "published_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        handover.push_published(from_json(RunResult, summary))
        get_current_context()["outlet_events"][asset].extra = summary
        return summary

    returned: Any = publish(run, summaries, files, usages, damages)
    returned.operator.operator_extra_links = (RunPageLink(),)
    return returned


def collect_task() -> Any:
    """Returns the task that runs garbage collection on the store. The task returns the counts of deleted objects."""

    @own_task(task_id="collect", execution_timeout=timedelta(hours=2))
    def collect() -> Any:
        from quire.report.catalog import load_catalog
        from quire.runs.retention import collect_garbage

        definitions = load_catalog(include_folder()).definitions
        store = open_store()
        return to_json(collect_garbage(definitions, store=store, now=store.now()))

    return collect()


def compact_task() -> Any:
    """Returns the task that compacts the change logs. The task returns the number of removed records."""

    @own_task(task_id="compact", execution_timeout=timedelta(hours=2), **pod_of("compact"))
    def compact() -> int:
        from quire.postgres.tracking.installation import compact_logs
        from quire.report.catalog import load_catalog

        definitions = load_catalog(include_folder()).definitions.values()
        tracked = [definition for definition in definitions if definition.source.freshness == "tracked"]
        return compact_logs({owner_address(definition) for definition in tracked})

    return compact()


def placement(definition: ReportDefinition, stage: StageName) -> dict[str, Any]:
    """Returns the queue and pool that the definition names for a stage, and the stage's pod template."""
    configured = {"queue": definition.queues.get(stage), "pool": definition.pools.get(stage)}
    return {**{name: value for name, value in configured.items() if value}, **pod_of(stage)}


def pod_of(task_name: str) -> dict[str, Any]:
    """Returns a task's pod template for the KubernetesExecutor if the settings name a folder of pod templates."""
    template = pod_template(task_name)
    return {"executor_config": {"pod_template_file": template}} if template else {}

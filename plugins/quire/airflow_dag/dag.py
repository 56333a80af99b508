"""plan -> extract (mapped) -> aggregate -> layout -> render (mapped) -> publish; references travel between them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import (
    DAG,
    Asset,
    ExceptionRetryPolicy,
    RetryAction,
    RetryRule,
    TriggerRule,
    XComArg,
    get_current_context,
    task,
)
from airflow.sdk.definitions.timetables.trigger import CronTriggerTimetable

from quire.airflow_dag.connections import open_session, open_store
from quire.airflow_dag.handover import (
    PLAN,
    RUN,
    STORED,
    USAGE,
    push_plan,
    push_run,
    same_plan,
    same_run,
    staged_partitions,
    task_usages,
    usage_pushed,
)
from quire.airflow_dag.params import trigger_params
from quire.artifacts import RenderedFile, RunLayout, StagedRun, StagedSummary, WorkbookShare, digest, from_json, to_json
from quire.calendar_range import DatePartition
from quire.definition import ReportDefinition, StageName
from quire.definition.scalars import REPORT_NAME
from quire.errors import DefinitionError, TerminalError, TransientError

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)  # backfills may go back as far as they like
EXTRACTS_IN_A_TASK = 8  # times source.timeout: a task of many small partitions ends well before
RETRIES: dict[str, Any] = {
    "retries": 4,
    "retry_delay": timedelta(seconds=15),
    "retry_exponential_backoff": 2,
    "max_retry_delay": timedelta(minutes=10),
    "retry_policy": ExceptionRetryPolicy(
        rules=[
            RetryRule(exception=TerminalError, action=RetryAction.FAIL, reason="trying again gives the same"),
            RetryRule(exception=TransientError, action=RetryAction.DEFAULT),
        ]
    ),
}


def build_dag(definition: ReportDefinition) -> DAG:
    """Returns the DAG of a report; its id is the report's name."""
    with DAG(
        dag_id=definition.name,
        dag_display_name=definition.title,
        description=definition.description or None,
        schedule=CronTriggerTimetable(definition.schedule, timezone=definition.timezone)
        if definition.schedule
        else None,
        start_date=BEGINNING,
        catchup=False,
        is_paused_upon_creation=False,
        params=trigger_params(definition),
        default_args=RETRIES,
        tags=["quire"],
    ) as dag:
        _connect_tasks(definition)
    return dag


def build_broken_dag(name: str, error: DefinitionError) -> DAG:
    """Returns a DAG of one task, which fails with what is wrong with the report's files."""
    with DAG(
        dag_id=_broken_dag_id(name),
        description=str(error),
        schedule=None,
        is_paused_upon_creation=False,
        tags=["quire", "broken definition"],
        doc_md=f"This report cannot run until its definition is mended:\n\n    {error}\n",
    ) as dag:

        @task(retries=0)
        def definition() -> None:
            raise error

        definition()
    return dag


def _broken_dag_id(name: str) -> str:
    """Returns an id that Airflow takes and no other report has, whatever the file is called."""
    if re.fullmatch(REPORT_NAME, name):
        return name
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', name)}.{digest(name)[:8]}"


def report_asset(definition: ReportDefinition) -> Asset:
    """Returns the asset that publish updates: other DAGs may wait for it."""
    return Asset(name=definition.name, uri=f"quire://reports/{definition.name}")


def _connect_tasks(definition: ReportDefinition) -> None:
    planned = _plan_task(definition)
    plan, stored = XComArg(planned.operator, PLAN), XComArg(planned.operator, STORED)
    staged = _extract_task(definition, plan, planned)
    summaries = _aggregate_task(definition, plan, stored, staged)
    shares = _layout_task(definition, plan, stored, staged, summaries)
    run = XComArg(shares.operator, RUN)
    files = _render_task(definition, run, shares)
    usages = [XComArg(done.operator, USAGE) for done in (planned, staged, summaries, shares, files)]
    _publish_task(definition, run, files, usages)


def _plan_task(definition: ReportDefinition) -> Any:
    @task(task_id="plan", execution_timeout=timedelta(minutes=10), **_queue(definition, "plan"))
    def plan() -> Any:
        from quire.run_request import request_conf
        from quire.stages.plan import plan_partitions

        context = get_current_context()
        run = context["dag_run"]
        request = request_conf(
            definition,
            {**context["params"], **(run.conf or {})},
            run_id=f"{definition.name}__{run.run_id}",
            run_after=run.run_after,
        )
        session = open_session(definition)
        with usage_pushed("plan", [definition.name], session.statements) as meter:
            found = plan_partitions(definition, request, session=session, store=open_store())
            meter.count(units=len(found.stored) + sum(map(len, found.groups)))
        push_plan(definition, found)
        return to_json(found.groups)

    return plan()


def _extract_task(definition: ReportDefinition, plan: Any, groups: Any) -> Any:
    @task(
        task_id="extract",
        execution_timeout=definition.source.timeout * EXTRACTS_IN_A_TASK,
        max_active_tis_per_dagrun=definition.source.parallel,
        map_index_template="{{ label }}",
        **_queue(definition, "extract"),
    )
    def extract(plan: Any, group: Any) -> Any:
        from quire.stages.extract import extract_partitions

        partitions = from_json(tuple[DatePartition, ...], group)
        session = open_session(definition)
        with usage_pushed("extract", [part.key for part in partitions], session.statements) as meter:
            known = same_plan(definition, plan)
            found = extract_partitions(definition, known, partitions, session=session, store=open_store())
            meter.count_written(found)
        return to_json(found)

    return extract.partial(plan=plan).expand(group=groups)


def _aggregate_task(definition: ReportDefinition, plan: Any, stored: Any, staged: Any) -> Any:
    @task(
        task_id="aggregate",
        execution_timeout=timedelta(hours=2),
        trigger_rule=TriggerRule.NONE_FAILED,  # where all is stored, there is nothing to extract
        **_queue(definition, "aggregate"),
    )
    def aggregate(plan: Any, stored: Any, staged: Any) -> Any:
        from quire.stages.aggregate import aggregate_summaries

        with usage_pushed("aggregate", [definition.name]) as meter:
            known = same_plan(definition, plan, stored)
            partitions = staged_partitions(definition, known, staged)
            found = aggregate_summaries(definition, known, partitions, store=open_store())
            meter.count_written(found)
        return to_json(found)

    return aggregate(plan, stored, staged)


def _layout_task(definition: ReportDefinition, plan: Any, stored: Any, staged: Any, summaries: Any) -> Any:
    @task(
        task_id="layout",
        execution_timeout=timedelta(minutes=10),
        trigger_rule=TriggerRule.NONE_FAILED,
        **_queue(definition, "layout"),
    )
    def layout(plan: Any, stored: Any, staged: Any, summaries: Any) -> Any:
        from quire.stages.layout import layout_run

        with usage_pushed("layout", [definition.name]):
            known = same_plan(definition, plan, stored)
            partitions = staged_partitions(definition, known, staged)
            found = layout_run(definition, known, partitions, store=open_store())
        run = StagedRun(
            plan=known,
            partitions=partitions,
            summaries=from_json(tuple[StagedSummary, ...], summaries),
            layout=RunLayout(run_key=found.run_key, reused=found.reused, groups=()),
        )
        push_run(definition, run)
        return to_json(found.groups)

    return layout(plan, stored, staged, summaries)


def _render_task(definition: ReportDefinition, run: Any, groups: Any) -> Any:
    @task(
        task_id="render",
        execution_timeout=timedelta(hours=6),
        map_index_template="{{ label }}",
        **_queue(definition, "render"),
    )
    def render(run: Any, shares: Any) -> Any:
        from quire.stages.render import render_workbooks

        workbooks = from_json(tuple[WorkbookShare, ...], shares)
        with usage_pushed("render", [share.stem for share in workbooks]) as meter:
            found = render_workbooks(definition, same_run(definition, run), workbooks, store=open_store())
            meter.count_written(found)
        return to_json(found)

    return render.partial(run=run).expand(shares=groups)


def _publish_task(definition: ReportDefinition, run: Any, files: Any, usages: list[Any]) -> Any:
    asset = report_asset(definition)

    @task(
        task_id="publish",
        execution_timeout=timedelta(hours=1),
        trigger_rule=TriggerRule.NONE_FAILED,  # where a run is published already, there is nothing to render
        outlets=[asset],
        **_queue(definition, "publish"),
    )
    def publish(run: Any, files: Any, usages: Any) -> Any:
        from quire.stages.publish import publish_run

        rendered = tuple(file for group in files or () for file in from_json(tuple[RenderedFile, ...], group))
        session = open_session(definition)
        with usage_pushed("publish", [definition.name], session.statements) as meter:
            found = publish_run(
                definition,
                same_run(definition, run),
                rendered,
                session=session,
                store=open_store(),
                usage=lambda: (*task_usages(*usages), meter.usage()),
            )
        manifest = found.manifest
        told: dict[str, Any] = {
            "report": manifest.report,
            "run": manifest.run,
            "reused": found.reused,
            "rows": manifest.rows,
            "files": [
                {"name": file.name, "key": file.key, "rows": file.rows, "bytes": file.bytes} for file in manifest.files
            ],
        }
        get_current_context()["outlet_events"][asset].extra = told
        return told

    return publish(run, files, usages)


def _queue(definition: ReportDefinition, stage: StageName) -> dict[str, Any]:
    return {"queue": definition.queues[stage]} if stage in definition.queues else {}

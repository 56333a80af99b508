"""Builds each report's DAG, the DAGs that store partitions ahead of time, and the housekeeping DAG."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, ExceptionRetryPolicy, Param, RetryAction, RetryRule, XComArg, get_parsing_context, task
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.definitions.timetables.trigger import CronTriggerTimetable

from quire.airflow_dag.housekeeping import collect_task, compact_task
from quire.airflow_dag.lease_release import release_task
from quire.airflow_dag.notifications import notify_when_ended
from quire.airflow_dag.notifiers import ensure_usable_notifiers
from quire.airflow_dag.operator_links import push_failure
from quire.airflow_dag.params import store_params, trigger_params
from quire.airflow_dag.tasks import (
    aggregate_task,
    extract_task,
    layout_task,
    plan_task,
    publish_task,
    render_task,
)
from quire.airflow_dag.xcom import CACHED, DAMAGE, PLAN, RUN, STORE_SUFFIX, USAGE, release_lease_of
from quire.errors import DefinitionError, TerminalError, TransientError, unexpected_error
from quire.record_types.serialization import digest
from quire.report.catalog import Catalog, DefinitionCache
from quire.report.definition import ReportDefinition
from quire.report.definition.field_types import REPORT_NAME
from quire.runs.workbook_shards import combines_rows_and_summaries
from quire.settings import include_folder

logger = logging.getLogger(__name__)

DEFINITIONS = DefinitionCache()  # processes that the DAG processor forks inherit it, and reread only changed files
MAX_FILE_NAME_LENGTH = 200  # characters from the file name in a broken DAG's ID; Airflow allows IDs of 250 characters
EARLIEST_BACKFILL = datetime(1970, 1, 1, tzinfo=UTC)
TASK_DEFAULTS: dict[str, Any] = {
    "on_failure_callback": [push_failure, release_lease_of],
    "on_retry_callback": push_failure,
    "retries": 4,
    "retry_delay": timedelta(seconds=15),
    "retry_exponential_backoff": 2,
    "max_retry_delay": timedelta(minutes=10),
    "retry_policy": ExceptionRetryPolicy(
        rules=[
            RetryRule(exception=TerminalError, action=RetryAction.FAIL, reason="a retry would fail the same way"),
            RetryRule(exception=TransientError, action=RetryAction.DEFAULT),
        ]
    ),
}
DAG_DEFAULTS: dict[str, Any] = {
    "start_date": EARLIEST_BACKFILL,
    "catchup": False,
    "is_paused_upon_creation": False,
    "auto_register": False,  # Airflow must not register a DAG whose construction fails
    "default_args": TASK_DEFAULTS,
    "tags": ["quire"],
}


def build_report_dags(catalog: Catalog | None = None) -> dict[str, DAG]:
    """Returns every report's DAGs by ID, including those that store partitions ahead of time.

    If a report's DAG cannot be built, the report gets a broken DAG that shows the error. Other reports are not
    affected.

    Args:
        catalog: the reports. The default is the reports in the include folder. A task that parses the DAG file loads
            only its own report, so its start time does not depend on the number of reports.

    Raises:
        DefinitionError: the include folder does not exist.
    """
    catalog = load_needed_reports() if catalog is None else catalog
    broken = [build_broken_dag(name, error) for name, error in catalog.errors.items()]
    built = [dag for definition in catalog.definitions.values() for dag in _dags_of(definition)]
    return {dag.dag_id: dag for dag in (*built, *broken)}


def load_needed_reports() -> Catalog:
    """Returns the report to which the current task belongs, or every report if Airflow needs all DAGs.

    Raises:
        DefinitionError: the include folder does not exist.
    """
    dag_id = get_parsing_context().dag_id
    if dag_id:
        catalog = DEFINITIONS.load(include_folder(), only=dag_id.removesuffix(STORE_SUFFIX))
        if catalog.definitions or catalog.errors:
            return catalog
    return DEFINITIONS.load(include_folder())  # a broken DAG's ID can differ from its file name


def _dags_of(definition: ReportDefinition) -> list[DAG]:
    try:
        store_dags = [build_store_dag(definition)] if definition.store_schedule else []
        return [build_dag(definition), *store_dags]
    except (Exception, SystemExit) as error:
        logger.exception("%s: cannot build the DAG", definition.name)
        return [build_broken_dag(definition.name, unexpected_error(error, report=definition.name))]


def build_dag(definition: ReportDefinition) -> DAG:
    """Returns a report's DAG, whose ID is the report's name, or a broken DAG if a notifier is unusable."""
    try:
        ensure_usable_notifiers(definition)
    except DefinitionError as error:
        return build_broken_dag(definition.name, error)
    with _open_dag(
        definition, definition.name, definition.title, schedule=definition.schedule, params=trigger_params(definition)
    ) as dag:
        planned = plan_task(definition)
        plan, cached = XComArg(planned.operator, PLAN), XComArg(planned.operator, CACHED)
        partitions = extract_task(definition, plan, planned)
        groups = layout_task(definition, plan, cached, partitions=partitions)
        run = XComArg(groups.operator, RUN)
        summaries = aggregate_task(definition, run)
        damage = XComArg(summaries.operator, DAMAGE)
        combines = combines_rows_and_summaries(definition)
        files = render_task(
            definition, run, groups, summaries=summaries if combines else None, damage=damage if combines else None
        )
        usages = [XComArg(stage.operator, USAGE) for stage in (planned, partitions, groups, summaries, files)]
        damages = [damage, XComArg(files.operator, DAMAGE)]
        published = publish_task(definition, run, summaries, files=files, usages=usages, damages=damages)
        notify_when_ended(definition, [planned, partitions, groups, summaries, files, published])
    return dag


def build_store_dag(definition: ReportDefinition) -> DAG:
    """Returns the DAG that stores partitions before readers request them. Its last task releases the lease."""
    title = f"{definition.title}: extract in advance"
    with _open_dag(
        definition,
        f"{definition.name}{STORE_SUFFIX}",
        title,
        schedule=definition.store_schedule,
        params=store_params(definition),
    ) as dag:
        planned = plan_task(definition, may_publish=False)
        staged = extract_task(definition, XComArg(planned.operator, PLAN), planned)
        staged >> release_task(definition)
    return dag


def build_housekeeping_dag() -> DAG:
    """Returns the DAG that runs garbage collection every day."""
    with DAG(
        dag_id="quire__housekeeping",  # no report's ID contains two underscores
        dag_display_name="Quire: housekeeping",
        schedule=CronTriggerTimetable("0 4 * * *", timezone="UTC"),
        max_active_runs=1,
        **DAG_DEFAULTS,
    ) as dag:
        collect_task()
        compact_task()
    return dag


@contextmanager
def _open_dag(
    definition: ReportDefinition, dag_id: str, title: str, *, schedule: str | None, params: dict[str, Param]
) -> Iterator[DAG]:
    """Yields a DAG to which the block adds tasks.

    The DAG gets its params after its tasks. Otherwise, each task would get a copy, and Airflow would validate all
    copies when it serializes the DAG, which takes 4 ms for each task.
    """
    with DAG(
        dag_id=dag_id,
        dag_display_name=title,
        description=definition.description or None,
        schedule=CronTriggerTimetable(schedule, timezone=definition.timezone) if schedule else None,
        **DAG_DEFAULTS,
    ) as dag:
        yield dag
    dag.params = ParamsDict(params)


def build_broken_dag(name: str, error: DefinitionError) -> DAG:
    """Returns a DAG whose only task fails with the error that the report's files contain."""
    with DAG(
        dag_id=_broken_dag_id(name),
        description=str(error),
        schedule=None,
        is_paused_upon_creation=False,
        auto_register=False,
        default_args={"on_failure_callback": push_failure},
        tags=["quire", "broken definition"],
        doc_md=f"This report cannot run until its definition is fixed:\n\n    {error}\n",
    ) as dag:

        @task(retries=0)
        def definition() -> None:
            raise error

        definition()
    return dag


def _broken_dag_id(name: str) -> str:
    """Returns a valid and unique DAG ID for any file name."""
    if re.fullmatch(REPORT_NAME, name):
        return name
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', name)[:MAX_FILE_NAME_LENGTH]}.{digest(name)[:8]}"

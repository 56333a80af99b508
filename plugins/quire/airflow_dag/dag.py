"""How tasks follow one another: a report's stages, plan, extract and release to store ahead, and housekeeping."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, ExceptionRetryPolicy, Param, RetryAction, RetryRule, XComArg, task
from airflow.sdk.definitions.timetables.trigger import CronTriggerTimetable

from quire.airflow_dag.lease_release import release_task
from quire.airflow_dag.notifications import notify_when_ended
from quire.airflow_dag.notifiers import ensure_usable_notifiers
from quire.airflow_dag.operator_links import tell_failure
from quire.airflow_dag.params import store_params, trigger_params
from quire.airflow_dag.tasks import (
    aggregate_task,
    collect_task,
    compact_task,
    extract_task,
    layout_task,
    plan_task,
    publish_task,
    render_task,
)
from quire.airflow_dag.xcom import CACHED, DAMAGE, PLAN, RUN, STORE_SUFFIX, USAGE, release_lease_of
from quire.errors import DefinitionError, TerminalError, TransientError, unexpected_error
from quire.records.serialization import digest
from quire.report.catalog import Catalog, load_catalog
from quire.report.definition import ReportDefinition
from quire.report.definition.field_types import REPORT_NAME
from quire.runs.workbook_shards import combines_rows_and_summaries
from quire.settings import include_folder

logger = logging.getLogger(__name__)

MAX_SHOWN_NAME_LENGTH = 200  # of a file, in the id of its broken DAG: Airflow takes 250 characters
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)  # backfills may go back as far as they like
RETRIES: dict[str, Any] = {
    "on_failure_callback": [tell_failure, release_lease_of],
    "on_retry_callback": tell_failure,
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


SETTINGS: dict[str, Any] = {
    "start_date": BEGINNING,
    "catchup": False,
    "is_paused_upon_creation": False,
    "auto_register": False,  # a DAG counts once it is returned, not where an error ends its building
    "default_args": RETRIES,
    "tags": ["quire"],
}


def build_report_dags(catalog: Catalog | None = None) -> dict[str, DAG]:
    """Returns the DAGs of all reports by id: each report's own, and a second one if it fills the cache on a schedule.

    A report whose DAG cannot be built has a DAG that fails with the reason, so that other reports keep theirs.

    Args:
        catalog: defaults to the reports in the include folder.

    Raises:
        DefinitionError: there is no such folder.
    """
    catalog = load_catalog(include_folder()) if catalog is None else catalog
    broken = [build_broken_dag(name, error) for name, error in catalog.errors.items()]
    built = [dag for definition in catalog.definitions.values() for dag in _dags_of(definition)]
    return {dag.dag_id: dag for dag in (*built, *broken)}


def _dags_of(definition: ReportDefinition) -> list[DAG]:
    try:
        stored = [build_store_dag(definition)] if definition.store_schedule else []
        return [build_dag(definition), *stored]
    except (Exception, SystemExit) as error:
        logger.exception("%s: its DAG cannot be built", definition.name)
        return [build_broken_dag(definition.name, unexpected_error(error, report=definition.name))]


def build_dag(definition: ReportDefinition) -> DAG:
    """Returns the DAG of a report; its id is the report's name. It is a broken one where a notifier is unusable."""
    try:
        ensure_usable_notifiers(definition)
    except DefinitionError as error:
        return build_broken_dag(definition.name, error)
    with _dag(definition, definition.name, definition.title, definition.schedule, trigger_params(definition)) as dag:
        planned = plan_task(definition)
        plan, cached = XComArg(planned.operator, PLAN), XComArg(planned.operator, CACHED)
        partitions = extract_task(definition, plan, planned)
        groups = layout_task(definition, plan, cached, partitions)
        run = XComArg(groups.operator, RUN)
        summaries = aggregate_task(definition, run)
        damage = XComArg(summaries.operator, DAMAGE)
        needed = (summaries, damage) if combines_rows_and_summaries(definition) else (None, None)
        files = render_task(definition, run, groups, summaries=needed[0], damage=needed[1])
        usages = [XComArg(stage.operator, USAGE) for stage in (planned, partitions, groups, summaries, files)]
        damages = [damage, XComArg(files.operator, DAMAGE)]
        published = publish_task(definition, run, summaries, files, usages, damages)
        notify_when_ended(definition, [planned, partitions, groups, summaries, files, published])
    return dag


def build_store_dag(definition: ReportDefinition) -> DAG:
    """Returns the DAG that stores a report's partitions ahead of its readers; its last task ends the lease."""
    title = f"{definition.title}: storing ahead"
    with _dag(
        definition, f"{definition.name}{STORE_SUFFIX}", title, definition.store_schedule, store_params(definition)
    ) as dag:
        planned = plan_task(definition)
        staged = extract_task(definition, XComArg(planned.operator, PLAN), planned)
        staged >> release_task(definition)
    return dag


def build_housekeeping_dag() -> DAG:
    """Returns the DAG that deletes each day what nobody needs any more."""
    with DAG(
        dag_id="quire__housekeeping",  # no report's id has two underscores
        dag_display_name="Quire: housekeeping",
        schedule=CronTriggerTimetable("0 4 * * *", timezone="UTC"),
        max_active_runs=1,
        **SETTINGS,
    ) as dag:
        collect_task()
        compact_task()
    return dag


def _dag(definition: ReportDefinition, dag_id: str, title: str, schedule: str | None, params: dict[str, Param]) -> DAG:
    return DAG(
        dag_id=dag_id,
        dag_display_name=title,
        description=definition.description or None,
        schedule=CronTriggerTimetable(schedule, timezone=definition.timezone) if schedule else None,
        params=params,
        **SETTINGS,
    )


def build_broken_dag(name: str, error: DefinitionError) -> DAG:
    """Returns a DAG of one task, which fails with what is wrong with the report's files."""
    with DAG(
        dag_id=_broken_dag_id(name),
        description=str(error),
        schedule=None,
        is_paused_upon_creation=False,
        auto_register=False,
        default_args={"on_failure_callback": tell_failure},
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
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', name)[:MAX_SHOWN_NAME_LENGTH]}.{digest(name)[:8]}"

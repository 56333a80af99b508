"""Telling who asked to be told of a run's end, by Airflow's notifiers, in a task behind the stages.

It runs when every stage has ended, however it ended: so there is one notice a run, from a worker, which knows what
publish returned and why a task failed, and whose log says who could not be told. It never fails for that, but always
where the report did: it is the DAG's last task, from which Airflow takes the run's state, and who clears what failed
clears it too. It is no teardown: those Airflow lets run on when somebody ends a run, whose state would then be success,
since all that was left was skipped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import TriggerRule, XComArg, get_current_context
from airflow.sdk.exceptions import AirflowFailException, AirflowTaskTimeout

from quire.airflow_dag.connections import open_store
from quire.airflow_dag.notifiers import NotifierCall, make_notifier, notifier_calls
from quire.airflow_dag.operator_links import FAILURE, MAX_ASKED, base_url
from quire.airflow_dag.task_decorator import own_task
from quire.airflow_dag.tasks import placement
from quire.airflow_dag.xcom import (
    NOTIFY,
    PLAN,
    PUBLISH,
    PUBLISHED,
    UNREACHED,
    Handover,
    is_published,
    valid_request,
)
from quire.errors import ReportError, first_line
from quire.notifications import (
    FailedTask,
    Notification,
    escape_slack,
    failure_notification,
    render_html,
    render_text,
    success_notification,
)
from quire.object_store import Store
from quire.report.definition import ReportDefinition
from quire.report.request import RunRequest
from quire.runs.manifest_store import read_manifest

logger = logging.getLogger(__name__)

# The context values that templates may use: plain ones, since the password of every connection can be reached from ti,
# task, dag, conn or var, and authors of definitions must not read those. Without dag, templates run in a sandbox.
PERMITTED = (
    *("run_id", "logical_date", "ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz"),
    *("data_interval_start", "data_interval_end"),
)
PERMITTED_OF_RUN = (
    *("dag_id", "run_id", "run_type", "logical_date", "run_after", "start_date", "end_date"),
    *("data_interval_start", "data_interval_end", "conf"),
)
PAUSES = (5, 20)  # seconds before those who could not be told are tried again


def notify_when_ended(definition: ReportDefinition, stages: Sequence[XComArg]) -> None:
    """Adds to the DAG at hand what tells of a run's end, where the definition names anybody.

    Args:
        definition: the report.
        stages: every task that may fail.
    """
    told = definition.delivery.notify
    if not (told.success or told.failure):
        return

    @own_task(
        task_id=NOTIFY,
        trigger_rule=TriggerRule.ALL_DONE,
        retries=1,  # for a worker that dies
        execution_timeout=timedelta(minutes=15),
        on_failure_callback=None,  # it has no reason of its own
        on_retry_callback=None,
        **placement(definition, PUBLISH),
    )
    def notify() -> None:
        ti: Any = get_current_context()["ti"]
        tasks = list(ti.get_task_breadcrumbs(ti.dag_id, ti.run_id))
        succeeded = is_published(tasks)
        calls = list(notifier_calls(definition, "success" if succeeded else "failure"))
        missed = list(calls)
        try:
            _notify(definition, missed, tasks, succeeded=succeeded)
        except (Exception, SystemExit, AirflowTaskTimeout):  # whatever it is, the run is what it is
            logger.exception("%s: not everybody was told", definition.name)
        failures = [
            f"{call.recipient} was not notified ({call.field}): see the log of the task notify" for call in missed
        ]
        for failure in failures:
            logger.error("%s: %s", definition.name, failure)
        try:
            ti.xcom_push(UNREACHED, failures)
        except (Exception, SystemExit, AirflowTaskTimeout):  # the run's page will not show them; the log does
            logger.exception("%s: the run's page does not show who was not reached", definition.name)
        if not succeeded:
            count = f"{len(calls) - len(missed)} of {len(calls)} recipients were notified"
            raise AirflowFailException("; ".join(["Report failed", count, *failures]))

    list(stages) >> notify()


def _notify(
    definition: ReportDefinition, missed: list[NotifierCall], tasks: Sequence[dict[str, Any]], *, succeeded: bool
) -> None:
    """Notifies every recipient in ``missed``, and removes each from it that was reached."""
    context = get_current_context()
    if not missed:
        logger.info("%s: nobody is to be told of this", definition.name)
        return
    try:
        notice = _success(definition) if succeeded else _failure(definition, tasks)
    except ReportError as error:
        logger.error("%s: nobody was told: %s", definition.name, error.message)
        return
    _send(missed, notice, context)


def template_variables(notice: Notification, *, for_slack: bool) -> dict[str, str]:
    """Returns the variables that a notifier's templates may use.

    Args:
        notice: what is told.
        for_slack: whether texts are escaped, so that what somebody typed is no mention and no link.
    """
    subject, text = notice.subject, render_text(notice)
    return {
        "quire_subject": escape_slack(subject) if for_slack else subject,
        "quire_text": escape_slack(text) if for_slack else text,
        "quire_slack": escape_slack(text),
        "quire_html": render_html(notice),
        "quire_page": notice.page_url,
    }


def _success(definition: ReportDefinition) -> Notification:
    ti, store = get_current_context()["ti"], open_store()
    handover = Handover(definition, store=store)
    request = handover.request(ti.xcom_pull("plan", key=PLAN))
    run = handover.published(ti.xcom_pull(PUBLISH, key=PUBLISHED))
    return success_notification(definition, request, run, totals=_totals(definition, run.run, store=store), **_place())


def _totals(definition: ReportDefinition, run_key: str, *, store: Store) -> tuple[tuple[str, str], ...]:
    from quire.notifications.headline_totals import summary_totals

    try:
        return summary_totals(definition, read_manifest(store, definition.name, run_key), store=store)
    except ReportError as error:
        logger.warning("%s: told without totals: %s", definition.name, error.message)
        return ()


def _planned_request(definition: ReportDefinition) -> RunRequest | None:
    """Returns the request that plan pushed; where plan had failed, the one that the conf makes, if it makes one."""
    pushed = get_current_context()["ti"].xcom_pull("plan", key=PLAN)
    try:
        return Handover(definition, store=open_store()).request(pushed)
    except ReportError:
        return valid_request(definition)


def _failure(definition: ReportDefinition, tasks: Sequence[dict[str, Any]]) -> Notification:
    failed = sorted((found for found in tasks if found["state"] == "failed"), key=lambda found: int(found["map_index"]))
    causes: list[FailedTask] = []
    for found in failed:
        silent = len(causes) < MAX_ASKED and not any(cause.reason for cause in causes)
        causes.append(FailedTask(stage=found["task_id"], reason=_reason(definition, found) if silent else ""))
    return failure_notification(definition, _planned_request(definition), causes, **_place())


def _reason(definition: ReportDefinition, found: dict[str, Any]) -> str:
    """Returns a recorded failure reason on one line, without the report's name, which the notice has in its title."""
    reason = get_current_context()["ti"].xcom_pull(found["task_id"], key=FAILURE, map_indexes=found["map_index"])
    text = " ".join(reason.split()) if isinstance(reason, str) else ""
    return text.removeprefix(definition.name).lstrip(": ")


def _place() -> dict[str, str]:
    base = base_url()
    if not base:
        logger.warning("[api] base_url is not set: there are no links in what is told")
    return {"run_id": get_current_context()["run_id"], "base_url": base}


def _send(missed: list[NotifierCall], notice: Notification, context: Mapping[str, Any]) -> None:
    """Calls every notifier in ``missed``, and those that fail some times more.

    Each is removed as soon as it succeeds, so that the list is right whenever an exception ends this.
    """
    permitted = _plain_values(context)
    for pause in (*PAUSES, None):
        for call in tuple(missed):
            if _is_told(call, {**permitted, **template_variables(notice, for_slack=call.is_slack)}):
                missed.remove(call)
        if not missed:
            break
        if pause is not None:
            time.sleep(pause)


def _plain_values(context: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what notifiers may see of the task's context; ``params`` and ``dag_run`` as mappings of plain values."""
    values = {name: context[name] for name in PERMITTED if name in context}
    values["params"] = dict(context.get("params") or {})
    run = context.get("dag_run")
    values["dag_run"] = {name: getattr(run, name) for name in PERMITTED_OF_RUN if hasattr(run, name)}
    return values


def _is_told(call: NotifierCall, context: dict[str, Any]) -> bool:
    try:
        make_notifier(call)(dict(context))
    except (Exception, SystemExit) as error:  # a notifier may raise anything
        logger.warning("%s was not told: %s: %s", call.field, type(error).__name__, first_line(error))
        return False
    logger.info("%s was told", call.field)
    return True

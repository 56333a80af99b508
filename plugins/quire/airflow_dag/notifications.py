"""Sends notifications through Airflow's notifiers, in a task that follows the stages.

The task runs after all stages have ended, whether or not they succeeded, so each run sends one notification. The task
can read publish's result or the reason for a failure. Its log lists the recipients that could not be notified.

The task fails if and only if the report failed. As the DAG's last task, it determines the run's state. If a user clears
failed tasks, Airflow also clears this task. The task is not a teardown: Airflow runs teardowns even if a user marks a
run as failed. It would then mark the run as successful, because all other tasks were skipped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import TriggerRule, XComArg, get_current_context
from airflow.sdk.exceptions import AirflowFailException, AirflowTaskTimeout

from quire.airflow_dag.connections import open_store
from quire.airflow_dag.notifiers import NotifierCall, make_notifier, notifier_calls
from quire.airflow_dag.operator_links import FAILURE, MAX_REASON_LOOKUPS, base_url
from quire.airflow_dag.placement import placement
from quire.airflow_dag.task_decorator import quire_task
from quire.airflow_dag.xcom import (
    NOTIFY,
    PLAN,
    PUBLISH,
    PUBLISHED,
    RETURN_VALUE,
    UNREACHED,
    SealedXComs,
    publishing_task,
    valid_request,
)
from quire.errors import ReportError, first_line
from quire.notification_content import (
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

# Context values that templates can use. Through ti, task, dag, conn or var, a template could read the password of every
# connection, which a definition's author is not allowed to see. If dag is missing, Airflow renders templates in a
# sandbox.
PERMITTED = (
    *("run_id", "logical_date", "ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz"),
    *("data_interval_start", "data_interval_end"),
)
PERMITTED_OF_RUN = (
    *("dag_id", "run_id", "run_type", "logical_date", "run_after", "start_date", "end_date"),
    *("data_interval_start", "data_interval_end", "conf"),
)
PAUSES = (5, 20)  # seconds to wait before each retry
SuccessBuilder = Callable[[ReportDefinition, str], Notification]  # takes a report and the task that published it


def notify_when_ended(
    definition: ReportDefinition, stages: Sequence[XComArg], *, success: SuccessBuilder | None = None
) -> None:
    """Adds a notification task to the current DAG if the definition names recipients.

    Args:
        definition: the report.
        stages: all tasks that can fail.
        success: builds the notification for a published run; by default, from its tasks' XComs.
    """
    recipients = definition.delivery.notify
    if not (recipients.success or recipients.failure):
        return

    @quire_task(
        task_id=NOTIFY,
        trigger_rule=TriggerRule.ALL_DONE,
        retries=1,  # repeats the task if its worker dies
        execution_timeout=timedelta(minutes=15),
        on_failure_callback=None,  # this task's failure is not the reason that the report failed
        on_retry_callback=None,
        **placement(definition, PUBLISH),
    )
    def notify() -> None:
        ti: Any = get_current_context()["ti"]
        tasks = list(ti.get_task_breadcrumbs(ti.dag_id, ti.run_id))
        publisher = publishing_task(tasks, None)
        if publisher is None:
            publisher = publishing_task(tasks, ti.xcom_pull(PLAN, key=RETURN_VALUE))
        calls = list(notifier_calls(definition, "success" if publisher else "failure"))
        missed = list(calls)
        try:
            _notify(definition, missed, tasks, publisher=publisher, success=success or success_of_run)
        except (Exception, SystemExit, AirflowTaskTimeout):  # a failed notification must not fail the run
            logger.exception("%s: some recipients were not notified", definition.name)
        failures = [f"{call.recipient} was not notified ({call.field}): see the notify task's log" for call in missed]
        for failure in failures:
            logger.error("%s: %s", definition.name, failure)
        try:
            ti.xcom_push(UNREACHED, failures)
        except (Exception, SystemExit, AirflowTaskTimeout):  # the log still lists the recipients
            logger.exception("%s: the run's page does not show the recipients that were not reached", definition.name)
        if not publisher:
            count = f"{len(calls) - len(missed)} of {len(calls)} recipients were notified"
            raise AirflowFailException("; ".join(["Report failed", count, *failures]))

    list(stages) >> notify()


def _notify(
    definition: ReportDefinition,
    missed: list[NotifierCall],
    tasks: Sequence[dict[str, Any]],
    *,
    publisher: str | None,
    success: SuccessBuilder,
) -> None:
    """Notifies the recipients in ``missed`` and removes each notified recipient from the list.

    Args:
        definition: the report.
        missed: the recipients.
        tasks: the run's task states.
        publisher: the task that published the run; None if the run failed.
        success: builds the notification for a published run.
    """
    context = get_current_context()
    if not missed:
        logger.info("%s: the definition names no recipients for this result", definition.name)
        return
    try:
        notification = success(definition, publisher) if publisher else _failure(definition, tasks)
    except ReportError as error:
        logger.error("%s: no recipient was notified: %s", definition.name, error.message)
        return
    send_notification(missed, notification, context=context)


def template_variables(notification: Notification, *, for_slack: bool) -> dict[str, str]:
    """Returns the variables that a notifier's templates can use.

    Args:
        notification: the notification.
        for_slack: whether to escape text for Slack, so that user input cannot contain mentions or links.
    """
    subject, text = notification.subject, render_text(notification)
    return {
        "quire_subject": escape_slack(subject) if for_slack else subject,
        "quire_text": escape_slack(text) if for_slack else text,
        "quire_slack": escape_slack(text),
        "quire_html": render_html(notification),
        "quire_page": notification.page_url,
    }


def success_of_run(definition: ReportDefinition, publisher: str) -> Notification:
    """Returns the notification for the current run, built from the XComs of plan and the publishing task."""
    ti, store = get_current_context()["ti"], open_store()
    xcoms = SealedXComs(definition, store=store)
    request = xcoms.request(ti.xcom_pull("plan", key=PLAN))
    run = xcoms.result(ti.xcom_pull(publisher, key=PUBLISHED))
    return success_notification(
        definition, request, run, totals=_totals(definition, run.run, store=store), **_run_location()
    )


def _totals(definition: ReportDefinition, run_key: str, *, store: Store) -> tuple[tuple[str, str], ...]:
    from quire.notification_content.headline_totals import summary_totals

    try:
        return summary_totals(definition, read_manifest(store, definition.name, run_key), store=store)
    except ReportError as error:
        logger.warning("%s: the notification has no totals: %s", definition.name, error.message)
        return ()


def _planned_request(definition: ReportDefinition) -> RunRequest | None:
    """Returns the request that plan pushed or, if plan failed, a valid request from the run's conf."""
    pushed = get_current_context()["ti"].xcom_pull("plan", key=PLAN)
    try:
        return SealedXComs(definition, store=open_store()).request(pushed)
    except ReportError:
        return valid_request(definition)


def _failure(definition: ReportDefinition, tasks: Sequence[dict[str, Any]]) -> Notification:
    failed = sorted((task for task in tasks if task["state"] == "failed"), key=lambda task: int(task["map_index"]))
    causes: list[FailedTask] = []
    for task in failed:
        is_needed = len(causes) < MAX_REASON_LOOKUPS and not any(cause.reason for cause in causes)
        causes.append(FailedTask(stage=task["task_id"], reason=_reason(definition, task) if is_needed else ""))
    return failure_notification(definition, _planned_request(definition), causes, **_run_location())


def _reason(definition: ReportDefinition, task: dict[str, Any]) -> str:
    """Returns a task's failure reason on one line, without the report's name, which the subject already contains."""
    reason = get_current_context()["ti"].xcom_pull(task["task_id"], key=FAILURE, map_indexes=task["map_index"])
    text = " ".join(reason.split()) if isinstance(reason, str) else ""
    return text.removeprefix(definition.name).lstrip(": ")


def _run_location() -> dict[str, str]:
    base = base_url()
    if not base:
        logger.warning("[api] base_url is not set: the notification has no links")
    return {"run_id": get_current_context()["run_id"], "base_url": base}


def send_notification(
    missed: list[NotifierCall],
    notification: Notification,
    *,
    context: Mapping[str, Any],
    pauses: Sequence[float] = PAUSES,
) -> None:
    """Calls the notifiers in ``missed`` and retries the ones that fail.

    Removes each notifier from the list as soon as it succeeds, so that the list is correct even after an exception.

    Args:
        missed: the notifiers.
        notification: the notification.
        context: the task's Airflow context.
        pauses: the seconds before each retry.
    """
    permitted = _plain_values(context)
    for pause in (*pauses, None):
        for call in tuple(missed):
            if _has_succeeded(call, {**permitted, **template_variables(notification, for_slack=call.is_slack)}):
                missed.remove(call)
        if not missed:
            break
        if pause is not None:
            time.sleep(pause)


def _plain_values(context: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the context values that notifiers can use. ``params`` and ``dag_run`` are mappings of plain values."""
    values = {name: context[name] for name in PERMITTED if name in context}
    values["params"] = dict(context.get("params") or {})
    run = context.get("dag_run")
    values["dag_run"] = {name: getattr(run, name) for name in PERMITTED_OF_RUN if hasattr(run, name)}
    return values


def _has_succeeded(call: NotifierCall, context: dict[str, Any]) -> bool:
    try:
        make_notifier(call)(dict(context))
    except (Exception, SystemExit) as error:  # a notifier can raise any exception
        logger.warning("%s was not notified: %s: %s", call.field, type(error).__name__, first_line(error))
        return False
    logger.info("%s was notified", call.field)
    return True

"""Notifiers send two-part e-mails, escape text for Slack, and report recipients that could not be reached."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, BaseNotifier
from airflow.sdk.exceptions import AirflowTaskTimeout
from airflow.sdk.execution_time import macros
from airflow.sdk.execution_time.context import ConnectionAccessor, VariableAccessor, set_current_context
from quire.airflow_dag import notifications
from quire.airflow_dag.notifiers import notifier_calls
from quire.notification_content import Notification, render_html, render_text, success_notification
from quire.record_types.run_result import RunResult
from quire.report.definition import ReportDefinition
from quire.report.request import RunRequest

from tests.airflow.mailbox import MAIL_LOGIN, MAIL_PASSWORD, REFUSED, SENDER, Mailbox

HOSTILE = "<!channel> <https://example.org/|Sign in> & *x*"


class LateNotifier(BaseNotifier):
    """A notifier that is still running when the task times out."""

    def notify(self, context: Any) -> None:
        raise AirflowTaskTimeout("the task timed out")


class TextNotifier(BaseNotifier):
    """Records each message instead of sending it."""

    template_fields = ("text",)
    sent: ClassVar[list[str]] = []

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def notify(self, context: Any) -> None:
        self.sent.append(self.text)


LATE = {"notifier": f"{__name__}.LateNotifier"}


class UnreachableApi:
    """A notify task instance, after publish has succeeded and the API server has become unavailable."""

    dag_id, run_id = "sales", "r"

    def __init__(self) -> None:
        self.pushed: list[Any] = []

    def get_task_breadcrumbs(self, dag_id: str, run_id: str) -> list[Mapping[str, Any]]:
        return [{"task_id": "publish", "state": "success", "map_index": -1}]

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed.append(value)
        raise RuntimeError("the API server is unavailable")


def definition_of(*recipients: Any) -> ReportDefinition:
    return ReportDefinition.model_validate(
        {
            "name": "sales",
            "title": "Säles & more",
            "source": {"sql": "a.sql", "time_column": "t"},
            "partition": "month",
            "parameters": {"shop": {"type": "string", "default": None}},
            "delivery": {"notify": {"success": list(recipients)}},
        }
    )


def notification_of(definition: ReportDefinition) -> Notification:
    request = RunRequest(
        report="sales", start=date(2013, 1, 1), end=date(2013, 1, 31), timezone="UTC", parameters={"shop": HOSTILE},
        run_id="r", made_at="2013-02-01T06:00:00+00:00",
    )  # fmt: skip
    result = RunResult(
        report="sales", run="ab12", reused=False, rows=5, files=(), published_at=datetime(2013, 2, 1, tzinfo=UTC)
    )
    return success_notification(definition, request, result, run_id="r", base_url="https://airflow.example.org")


@pytest.fixture
def mail_server(monkeypatch: pytest.MonkeyPatch) -> Any:
    with Mailbox() as box:
        connection = {
            "conn_type": "smtp", "host": "127.0.0.1", "port": box.port, "login": MAIL_LOGIN, "password": MAIL_PASSWORD,
            "extra": {"from_email": SENDER, "disable_ssl": True, "disable_tls": True, "retry_limit": 0},
        }  # fmt: skip
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
        yield box


def send(definition: ReportDefinition, notification: Notification) -> list[str]:
    """Sends a notification as the notify task does, and returns the recipients that could not be reached."""
    missed = list(notifier_calls(definition, "success"))
    notifications.send_notification(missed, notification, context={}, pauses=(0,))
    return [call.recipient for call in missed]


def test_mail_has_plain_text_before_html(mail_server: Mailbox) -> None:
    definition = definition_of("a@example.org")
    notification = notification_of(definition)
    assert send(definition, notification) == []
    (mail,) = mail_server.containing("Säles")
    assert mail.message.get_content_type() == "multipart/alternative"
    parts = list(mail.message.iter_parts())
    assert [part.get_content_type() for part in parts] == ["text/plain", "text/html"]
    contents = [str(part.get_content()).replace("\r\n", "\n").rstrip("\n") for part in parts]
    assert contents == [render_text(notification).rstrip("\n"), render_html(notification)]
    assert f"Shop: {HOSTILE}" in contents[0]  # an e-mail needs no escaping for Slack


def test_send_returns_missed_recipients_and_reaches_the_others(mail_server: Mailbox) -> None:
    definition = definition_of(REFUSED, "b@example.org")
    assert send(definition, notification_of(definition)) == [REFUSED]
    assert [mail.recipients for mail in mail_server.containing("Säles")] == [["b@example.org"]]


def test_notify_that_times_out_names_only_missed_recipients(
    mail_server: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    definition, run = definition_of("a@example.org", LATE, "c@example.org"), UnreachableApi()
    with DAG("sales", schedule=None) as dag:
        notifications.notify_when_ended(definition, [], success=lambda definition, _: notification_of(definition))
    notify: Any = dag.get_task("notify")
    context: Any = {"ti": run, "run_id": run.run_id}
    with set_current_context(context):
        notify.python_callable.__wrapped__()  # raises no error, although the API server is unavailable
    assert [mail.recipients for mail in mail_server.containing("Säles")] == [["a@example.org"]]
    sentences = [
        f"{name} was not notified (delivery.notify.success[{index}]): see the notify task's log"
        for index, name in ((1, "LateNotifier"), (2, "c@example.org"))
    ]
    assert run.pushed == [sentences]
    logged = [record.getMessage() for record in caplog.records]
    assert [f"sales: {sentence}" in logged for sentence in sentences] == [True, True]


SECRET = "7h1s-1s-s3cr3t"


class TaskInstance:
    """Exposes the full context to templates, like Airflow's own task instance."""

    def __init__(self, context: dict[str, Any]) -> None:
        self.context = context

    def get_template_context(self) -> dict[str, Any]:
        return self.context


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("AIRFLOW_CONN_QUIRE_SOURCE", f"postgresql://reader:{SECRET}@db.example.org/sales")
    TextNotifier.sent.clear()
    run = SimpleNamespace(dag_id="sales", run_id="r", conf={"shop": "Oslo"}, get_task_instances=lambda: [])
    values: dict[str, Any] = {"run_id": "r", "ds": "2013-02-01", "params": {"shop": "Bergen"}, "dag_run": run}
    values |= {"conn": ConnectionAccessor(), "var": {"value": VariableAccessor(deserialize_json=False)}}
    with DAG("sales", schedule=None, user_defined_macros={"secret": SECRET}) as dag:
        notify = EmptyOperator(task_id="notify")
    ti = TaskInstance(values)
    values |= {"ti": ti, "task_instance": ti, "task": notify, "dag": dag, "macros": macros}
    return values


def render(text: str, context: dict[str, Any]) -> list[str]:
    definition = definition_of({"notifier": f"{__name__}.TextNotifier", "text": text})
    calls = list(notifier_calls(definition, "success"))
    notifications.send_notification(calls, notification_of(definition), context=context, pauses=())
    return TextNotifier.sent


@pytest.mark.parametrize(
    "template",
    [
        "{{ conn.quire_source.password }}",
        "{{ ti.get_template_context()['conn'].quire_source.password }}",
        "{{ task_instance.get_template_context()['conn'].quire_source.password }}",
        "{{ dag.user_defined_macros.secret }}",
        "{{ task.dag.user_defined_macros.secret }}",
        "{{ secret }}",
        "{{ dag_run.get_task_instances() }}",
        "{{ params.__class__.__mro__ }}",
        "{{ macros.datetime }}",
        "{{ var.value.x }}",
    ],
)
def test_notifier_template_reaches_no_secret(template: str, context: dict[str, Any]) -> None:
    assert render(template, context) in ([], [""])  # the template raises an error or renders nothing


def test_notifier_template_reads_plain_values(context: dict[str, Any]) -> None:
    text = "{{ run_id }} {{ ds }} {{ params.shop }} {{ dag_run.conf.shop }} {{ dag_run.run_id }} {{ quire_page }}"
    (sent,) = render(text, context)
    page = "https://airflow.example.org/quire/reports/sales/runs/r"
    assert sent == f"r 2013-02-01 Bergen Oslo r {page}"


@pytest.mark.parametrize(
    ("notifier", "is_escaped"),
    [
        ("airflow.providers.slack.notifications.slack_webhook.SlackWebhookNotifier", True),
        ("company.SlackAlert", True),
        ("airflow.providers.pagerduty.notifications.pagerduty.PagerdutyNotifier", False),
    ],
)
def test_slack_texts_contain_no_markup_from_parameters(notifier: str, is_escaped: bool) -> None:
    definition = definition_of({"notifier": notifier, "text": "{{ quire_text }}"})
    (call,) = notifier_calls(definition, "success")
    variables = notifications.template_variables(notification_of(definition), for_slack=call.is_slack)
    escaped = "Shop: &lt;!channel&gt; &lt;https:\u200b//example.\u200borg/|Sign in&gt; &amp; \u2217x\u2217"
    assert (escaped in variables["quire_text"]) is is_escaped
    assert ("<" in variables["quire_text"]) is not is_escaped
    assert escaped in variables["quire_slack"]
    assert ("Säles &amp; more" in variables["quire_subject"]) is is_escaped

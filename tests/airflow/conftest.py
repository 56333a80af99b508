"""Runs Airflow with the flights report and several failing reports."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from quire.dev_stack.stack import LocalStack
from quire.settings import CLONE

from tests.airflow.mailbox import MAIL_LOGIN, MAIL_PASSWORD, REFUSED, SENDER, Mailbox
from tests.airflow.portal import ADMIN, OUTSIDER, READER
from tests.dev_stack.taken_ports import default_ports_taken
from tests.events import write_report
from tests.inbound_webhooks.shop import write_webhook

RECORDER = "tests.airflow.recording_notifier.RecordingNotifier"
SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"


@pytest.fixture(scope="session")
def mailbox() -> Iterator[Mailbox]:
    """A running mail server."""
    with Mailbox() as box:
        yield box


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file to which the recording notifier appends notifications."""
    return tmp_path_factory.mktemp("notifications") / "recorded.jsonl"


def notifying_definition(definition: dict[str, Any], notify: dict[str, Any]) -> dict[str, Any]:
    """Returns the definition of an unscheduled report whose only delivery option is ``notify``."""
    return {**definition, "schedule": None, "delivery": {"notify": notify}}


@pytest.fixture(scope="session")
def airflow_include(tmp_path_factory: pytest.TempPathFactory, recorded: Path) -> Path:
    """A copy of include/ plus an invalid report, a report without a reachable database, and reports that notify."""
    include = tmp_path_factory.mktemp("airflow") / "include"
    shutil.copytree(CLONE / "include", include)
    definition = yaml.safe_load((include / "reports" / "flights.yaml").read_text())
    sql = (include / "sql" / "flights" / "extract.sql").read_text()
    daily = {**definition, "partition": "day", "store_schedule": "0 2 * * *", "schedule": None}
    daily["window"] = "1 day"  # Airflow starts the latest scheduled run immediately, and a month would need 31 tasks
    daily["delivery"] = {"link_ttl": "2s"}
    write_report(include, "daily", daily, sql)
    recording = {"notifier": RECORDER, "target": str(recorded), "texts": ["{{ run_id }}", "{{ quire_text }}"]}
    people = {"success": ["a@example.org", "b@example.org", recording], "failure": ["ops@example.org"]}
    write_report(include, "notifying", notifying_definition(definition, people), sql)
    divided = sql.replace("SELECT\n", "SELECT 1 / mod(f.day::int, 2) AS odd,\n", 1)
    source = {**definition["source"], "sql": "dividing/extract.sql"}
    dividing = {**notifying_definition(definition, people), "partition": "day", "source": source}
    write_report(include, "dividing", dividing, divided)
    away = {"notifier": SMTP, "to": "c@example.org", "smtp_conn_id": "mail_away", "subject": "s", "html_content": "h"}
    write_report(
        include,
        "undelivered",
        notifying_definition(definition, {"success": [away, recording, REFUSED], "failure": [away]}),
        sql,
    )
    definition["source"]["connection"] = "away"
    definition["delivery"] = {"notify": people}
    del definition["schedule"]
    write_report(include, "unreachable", definition, sql)
    (include / "reports" / "torn.yaml").write_text("title: Torn\npartition: mnth\n")
    write_webhook(include)
    return include


@pytest.fixture(scope="session")
def running_stack(
    servers: None, tmp_path_factory: pytest.TempPathFactory, airflow_include: Path, mailbox: Mailbox
) -> Iterator[LocalStack]:
    """A full stack with a running scheduler, separate from the servers that other tests use."""
    mail = {"conn_type": "smtp", "host": "127.0.0.1", "port": mailbox.port, "login": MAIL_LOGIN}
    plain = {"from_email": SENDER, "disable_ssl": True, "disable_tls": True}
    environment = {
        "QUIRE_INCLUDE": str(airflow_include),
        "AIRFLOW_CONN_AWAY": "postgresql://nobody:s3cr3t%2Fword@127.0.0.1:9/nowhere",
        "AIRFLOW__CORE__AUTH_MANAGER": "tests.airflow.auth_manager.PartialAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin,{READER}:viewer,{OUTSIDER}:user",
        "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps({**mail, "password": MAIL_PASSWORD, "extra": plain}),
        "AIRFLOW_CONN_MAIL_AWAY": json.dumps({**mail, "port": 9, "password": MAIL_PASSWORD, "extra": plain}),
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",  # the tests do not change files in the DAGs folder
        "PYTHONPATH": str(CLONE),  # so that Airflow can import the auth manager and the recording notifier
    }
    stack = LocalStack(tmp_path_factory.mktemp("stack"), fast=True, environment=environment)
    try:
        with default_ports_taken():  # tests/dev_stack, which may run at the same time, needs the default ports
            stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="module")
def client(running_stack: LocalStack) -> Iterator[httpx.Client]:
    """A client for Airflow's API, signed in as the administrator."""
    with running_stack.airflow.client() as client:
        yield client


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stops the stack after its last test, because even an idle Airflow uses a quarter of a core."""
    fixtures = getattr(nextitem, "fixturenames", ())
    stack = getattr(item, "funcargs", {}).get("running_stack")
    if stack and "running_stack" not in fixtures:
        stack.stop()

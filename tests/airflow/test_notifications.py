"""With a running scheduler and a real mail server, notifications reach their recipients."""

from __future__ import annotations

import json
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from quire.dev_stack.airflow_runs import fail_run, run_state, start_run, task_states
from quire.dev_stack.stack import LocalStack

from tests.airflow.mailbox import MAIL_PASSWORD, SENDER, Mailbox
from tests.airflow.portal import ask, program
from tests.airflow.portal import show as portal_run
from tests.airflow.run_results import published_value
from tests.airflow.test_scheduler import task_log, wait, wait_for_task

JANUARY = {"start": "2013-01-01", "end": "2013-01-31"}


def page_of(stack: LocalStack, report: str, run_id: str) -> str:
    return f"{stack.airflow.url}/quire/reports/{report}/runs/{quote(run_id, safe='')}"


def records(path: Path, run_id: str) -> list[str]:
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [text for recorded_id, text in lines if recorded_id == run_id]


def test_published_run_notifies_each_recipient_once_with_rows_and_links(
    running_stack: LocalStack, client: httpx.Client, mailbox: Mailbox, recorded: Path
) -> None:
    run_id = start_run(client, "notifying", {**JANUARY, "carrier": "HA"})
    assert wait(client, "notifying", run_id) == "success"
    page = page_of(running_stack, "notifying", run_id)
    mail, other = mailbox.containing(page)
    assert [mail.sender, mail.recipients, other.recipients] == [SENDER, ["a@example.org"], ["b@example.org"]]
    assert mail.body == other.body
    assert [part.get_content_type() for part in mail.message.iter_parts()] == ["text/plain", "text/html"]
    assert mail.message["Subject"] == "Flights from New York, 2013-01-01 to 2013-01-31: ready"
    published = published_value(client, "notifying", run_id)
    assert f">{published['rows']}<" in mail.body
    assert ">HA<" in mail.body
    assert f">{published['rows'] * 4_983:,}<" in mail.body  # in miles; all these flights go from JFK to Honolulu
    for file in published["files"]:
        stable = f"{running_stack.airflow.url}/quire/reports/notifying/published/{published['run']}/{file['name']}"
        assert f'<a href="{stable}"' in mail.body
    assert "Signature" not in mail.body
    (text,) = records(recorded, run_id)
    assert f"Rows: {published['rows']}\n" in text
    assert page in text
    log = task_log(running_stack, "notifying", run_id, "notify")
    assert "delivery.notify.success[1] was notified" in log
    assert MAIL_PASSWORD not in log


def test_invalid_request_notifies_with_its_reason(
    running_stack: LocalStack, client: httpx.Client, mailbox: Mailbox, recorded: Path
) -> None:
    run_id = start_run(client, "notifying", {**JANUARY, "carier": "AA"})
    assert wait(client, "notifying", run_id) == "failed"
    (mail,) = mailbox.containing(page_of(running_stack, "notifying", run_id))
    assert mail.recipients == ["ops@example.org"]
    assert mail.message["Subject"] == "Flights from New York: failed"
    assert ">plan<" in mail.body
    assert "unknown parameter &#x27;carier&#x27;; did you mean carrier?" in mail.body
    assert records(recorded, run_id) == []
    states = {task: state for task, _, state in task_states(client, "notifying", run_id)}
    assert (states["publish"], states["notify"]) == ("upstream_failed", "failed")
    client.post(
        "/dags/notifying/clearTaskInstances", json={"dry_run": False, "only_failed": True, "dag_run_id": run_id}
    )
    assert wait(client, "notifying", run_id) == "failed"
    assert len(mailbox.containing(page_of(running_stack, "notifying", run_id))) == 2


def test_several_failed_tasks_send_one_mail(running_stack: LocalStack, client: httpx.Client, mailbox: Mailbox) -> None:
    run_id = start_run(client, "dividing", {"start": "2013-01-01", "end": "2013-01-04", "fan_out": True})
    assert wait(client, "dividing", run_id) == "failed"
    (mail,) = mailbox.containing(page_of(running_stack, "dividing", run_id))
    assert mail.message["Subject"] == "Flights from New York, 2013-01-01 to 2013-01-04: failed"
    assert ">extract (and 1 more task)<" in mail.body
    assert ">2013-01-02: " in mail.body
    assert "division by zero" in mail.body


@dataclass(frozen=True)
class UndeliveredRuns:
    """Runs whose notify task retries for 25 s, because the mail server cannot be reached."""

    published: str
    requested: str  # published as well, and requested from the portal
    failed: str


@pytest.fixture(scope="module")
def undelivered(running_stack: LocalStack) -> UndeliveredRuns:
    """Runs that start at the same time, so that the tests wait for their retries only once."""
    with running_stack.airflow.client() as client, program(running_stack) as portal:
        return UndeliveredRuns(
            published=start_run(client, "undelivered", {**JANUARY, "carrier": "HA"}),
            requested=ask(portal, "undelivered", "2013-02-01", "2013-02-28", parameters={"carrier": "HA"}),
            failed=start_run(client, "undelivered", {**JANUARY, "carier": "HA"}),
        )


def test_run_is_failed_once_no_stage_is_left_and_cannot_be_cancelled(
    running_stack: LocalStack, client: httpx.Client, undelivered: UndeliveredRuns
) -> None:
    run_id = undelivered.failed
    wait_for_task(client, "undelivered", run_id, "notify", {"running"})
    with program(running_stack) as portal:
        run = portal_run(portal, "undelivered", run_id)
        cancelled = portal.post(f"/api/reports/undelivered/runs/{run_id}/cancel").json()
        assert run_state(client, "undelivered", run_id) == "running"
    assert (run["state"], cancelled["state"]) == ("failed", "failed")
    assert "did you mean carrier?" in run["error"]


def test_run_is_done_once_published_while_notify_still_runs(
    running_stack: LocalStack, client: httpx.Client, undelivered: UndeliveredRuns
) -> None:
    run_id = undelivered.requested
    with program(running_stack) as portal:
        wait_for_task(client, "undelivered", run_id, "publish", {"skipped"})  # plan has published the run
        run = portal_run(portal, "undelivered", run_id)
        assert run_state(client, "undelivered", run_id) == "running"
        assert (run["state"], run["rows"] > 0, run["ended_at"] is None) == ("done", True, False)
        cancelled = portal.post(f"/api/reports/undelivered/runs/{run_id}/cancel")
        assert (cancelled.status_code, cancelled.json()["state"]) == (202, "done")
        again = ask(portal, "undelivered", "2013-02-01", "2013-02-28", parameters={"carrier": "HA"})
        assert again == run_id  # its files answer the request, because no row has changed
        assert run_state(client, "undelivered", run_id) == "running"


def test_notify_retries_until_only_unreachable_recipients_remain(
    running_stack: LocalStack, client: httpx.Client, recorded: Path, undelivered: UndeliveredRuns
) -> None:
    assert wait(client, "undelivered", undelivered.published) == "success"
    assert len(records(recorded, undelivered.published)) == 1
    log = task_log(running_stack, "undelivered", undelivered.published, "notify")
    assert log.count("delivery.notify.success[0] was not notified: ConnectionRefusedError") == 3
    assert "delivery.notify.success[1] was notified" in log
    assert "delivery.notify.success[2] was not notified: SMTPRecipientsRefused" in log
    assert wait(client, "undelivered", undelivered.requested) == "success"
    assert wait(client, "undelivered", undelivered.failed) == "failed"
    log = task_log(running_stack, "undelivered", undelivered.failed, "notify")
    assert log.count("delivery.notify.failure[0] was not notified: ConnectionRefusedError") == 3


def test_run_stays_published_and_names_recipients_that_cannot_be_reached(
    running_stack: LocalStack, client: httpx.Client, undelivered: UndeliveredRuns
) -> None:
    run_id = undelivered.published
    assert wait(client, "undelivered", run_id) == "success"
    with program(running_stack) as portal:
        run = portal_run(portal, "undelivered", run_id)
        page = portal.get(f"/reports/undelivered/runs/{run_id}").text
        listing = portal.get("/reports/undelivered").text
    assert run["unreached"] == [
        "SmtpNotifier was not notified (delivery.notify.success[0]): see the notify task's log",
        "nobody@example.org was not notified (delivery.notify.success[2]): see the notify task's log",
    ]
    assert all(sentence in unescape(page) for sentence in run["unreached"])
    assert "<small>Airline: HA</small>" in listing  # the parameter's title and value


def test_run_failed_by_a_user_notifies_nobody(
    running_stack: LocalStack, client: httpx.Client, mailbox: Mailbox
) -> None:
    run_id = start_run(client, "unreachable", JANUARY)
    wait_for_task(client, "unreachable", run_id, "plan", {"up_for_retry"})
    fail_run(client, "unreachable", run_id)
    assert run_state(client, "unreachable", run_id) == "failed"
    later = start_run(client, "notifying", {**JANUARY, "carier": "HA"})
    assert wait(client, "notifying", later) == "failed"  # the scheduler has looked at every run by now
    assert run_state(client, "unreachable", run_id) == "failed"
    states = {task: state for task, _, state in task_states(client, "unreachable", run_id)}
    assert states["notify"] == "skipped"
    assert mailbox.containing(page_of(running_stack, "unreachable", run_id)) == []

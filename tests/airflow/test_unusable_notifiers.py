"""``quire check`` reports unusable notifiers in one line before any run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from quire.settings import CLONE

from tests.cli.test_app import error_line, quire
from tests.events import events_report

RECORDER = "tests.airflow.recording_notifier.RecordingNotifier"
SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(tmp_path / "home"),
        "QUIRE_INCLUDE": str(tmp_path / "include"),
        "PYTHONPATH": f"{CLONE / 'plugins'}:{CLONE}",
    }


@pytest.mark.parametrize(
    ("notifier", "line"),
    [
        (
            {"notifier": "tests.airflow.nowhere.Notifier"},
            "delivery.notify.failure[1].notifier: tests.airflow.nowhere.Notifier cannot be imported: "
            "No module named 'tests.airflow.nowhere'",
        ),
        (
            {"notifier": f"{RECORDER}s"},
            f"delivery.notify.failure[1].notifier: {RECORDER}s cannot be imported: "
            "module 'tests.airflow.recording_notifier' has no attribute 'RecordingNotifiers'",
        ),
        (
            {"notifier": "airflow.sdk.DAG"},
            "delivery.notify.failure[1].notifier: airflow.sdk.DAG is not a subclass of airflow.sdk.BaseNotifier",
        ),
        (
            {"notifier": "unittest.__main__.X"},
            "delivery.notify.failure[1].notifier: 'unittest.__main__.X' belongs to Python's standard library, "
            "which has no notifiers",
        ),
        (
            {"notifier": "test.regrtest.X"},
            "delivery.notify.failure[1].notifier: 'test.regrtest.X' belongs to Python's standard library, "
            "which has no notifiers",
        ),
        (
            {"notifier": "pip.__main__.X"},
            "delivery.notify.failure[1].notifier: 'pip.__main__.X' is private: '__main__' starts with an underscore",
        ),
        (
            {"notifier": "tests.airflow.exiting_module.Notifier"},
            "delivery.notify.failure[1].notifier: tests.airflow.exiting_module.Notifier cannot be imported: "
            "SystemExit: 2",
        ),
        (
            {"notifier": "tests.airflow.recording_notifier.ExitingNotifier"},
            "delivery.notify.failure[1]: ExitingNotifier: SystemExit: 3",
        ),
        (
            {"notifier": RECORDER, "targt": "a", "texts": []},
            "delivery.notify.failure[1]: RecordingNotifier does not accept targt; did you mean target?",
        ),
        (
            {"notifier": RECORDER, "target": "a"},
            "delivery.notify.failure[1]: RecordingNotifier.__init__() missing 1 required positional argument: 'texts'",
        ),
        (
            {"notifier": SMTP, "to": "a@example.org", "colour": "red"},
            "delivery.notify.failure[1]: SmtpNotifier does not accept colour; it accepts to, from_email, "
            "subject, html_content, cc, bcc, mime_subtype, mime_charset, custom_headers, smtp_conn_id, auth_type",
        ),
        *(
            (
                {"notifier": RECORDER, name: "/proc/self/environ"},
                f"delivery.notify.failure[1].{name}: notifications cannot send files from the worker: remove it",
            )
            for name in ("file_path", "filename", "attachment", "attachment_paths", "html_template", "log_dir", "path")
        ),
        (
            {"notifier": SMTP, "to": "a@example.org", "files": ["/proc/self/environ"]},
            "delivery.notify.failure[1].files: notifications cannot send files from the worker: remove it",
        ),
        (
            {"notifier": SMTP, "to": "a@example.org", "template": "/proc/self/environ"},
            "delivery.notify.failure[1].template: notifications cannot send files from the worker: remove it",
        ),
    ],
)
def test_check_reports_an_unusable_notifier(
    tmp_path: Path, environment: dict[str, str], notifier: dict[str, Any], line: str
) -> None:
    events_report(tmp_path / "include", delivery={"notify": {"failure": ["a@example.org", notifier]}})
    assert error_line(environment, "check", "events") == (2, f"quire: events: {line}")


def test_check_accepts_a_usable_notifier(tmp_path: Path, environment: dict[str, str]) -> None:
    recording = {"notifier": RECORDER, "target": "a", "texts": ["{{ quire_text }}"]}
    events_report(tmp_path / "include", delivery={"notify": {"success": [recording]}})
    done = quire(environment, "check", "events")
    assert (done.returncode, done.stderr) == (0, "")
    assert "events: the definition is valid" in done.stdout


@pytest.mark.parametrize("connection", ["", '{"conn_type": "smtp"}'])
def test_check_warns_about_recipients_without_a_mail_connection(
    tmp_path: Path, environment: dict[str, str], connection: str
) -> None:
    events_report(tmp_path / "include", delivery={"notify": {"failure": ["ops@example.org"]}})
    done = quire({**environment, "AIRFLOW_CONN_SMTP_DEFAULT": connection}, "check", "events")
    assert (done.returncode, done.stderr) == (0, "")
    assert ("AIRFLOW_CONN_SMTP_DEFAULT is not set" in done.stdout) is (not connection)

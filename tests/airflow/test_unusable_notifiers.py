"""``quire check`` reports each unusable notifier on one line, before any run needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.cli.command import quire
from tests.events import events_report

RECORDER = "tests.airflow.recording_notifier.RecordingNotifier"
SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"

UNUSABLE: list[tuple[dict[str, Any], str]] = [
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
        "delivery.notify.failure[1].notifier: tests.airflow.exiting_module.Notifier cannot be imported: SystemExit: 2",
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
            f"delivery.notify.failure[1].{name}: remove this field: notifications cannot include files from the worker",
        )
        for name in ("file_path", "filename", "attachment", "attachment_paths", "html_template", "log_dir", "path")
    ),
    (
        {"notifier": SMTP, "to": "a@example.org", "files": ["/proc/self/environ"]},
        "delivery.notify.failure[1].files: remove this field: notifications cannot include files from the worker",
    ),
    (
        {"notifier": SMTP, "to": "a@example.org", "template": "/proc/self/environ"},
        "delivery.notify.failure[1].template: remove this field: notifications cannot include files from the worker",
    ),
]


def check(environment: dict[str, str]) -> tuple[int, str, str]:
    """Returns the exit status, standard output and standard error of ``quire check events``."""
    done = quire(environment, "check", "events")
    return done.returncode, done.stdout, done.stderr


def notifying_report(include: Path, notify: dict[str, Any]) -> dict[str, str]:
    """Writes a report with notifications to a folder, and returns the environment variable that selects the folder."""
    events_report(include, delivery={"notify": notify})
    return {"QUIRE_INCLUDE": str(include)}


def test_check_reports_unusable_notifiers_and_a_missing_mail_connection(tmp_path: Path) -> None:
    environments = [
        notifying_report(tmp_path / str(number), {"failure": ["a@example.org", notifier]})
        for number, (notifier, _) in enumerate(UNUSABLE)
    ]
    recording = {"notifier": RECORDER, "target": "a", "texts": ["{{ quire_text }}"]}
    environments.append(notifying_report(tmp_path / "usable", {"success": [recording]}))
    mailing = notifying_report(tmp_path / "mailing", {"failure": ["ops@example.org"]})
    connections = ("", '{"conn_type": "smtp"}')
    environments += [{**mailing, "AIRFLOW_CONN_SMTP_DEFAULT": connection} for connection in connections]

    *rejected, usable, without_mail, with_mail = map(check, environments)

    assert rejected == [(2, "", f"quire: events: {line}\n") for _, line in UNUSABLE]
    valid = [usable, without_mail, with_mail]
    assert [(status, errors) for status, _, errors in valid] == [(0, "")] * 3
    assert all("events: the definition is valid" in output for _, output, _ in valid)
    assert ["AIRFLOW_CONN_SMTP_DEFAULT is not set. Set it to {" in output for _, output, _ in valid] == [
        False,
        True,
        False,
    ]

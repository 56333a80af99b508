"""Notifications are rendered as text and HTML, without Airflow."""

from __future__ import annotations

from datetime import UTC, date, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from quire.notification_content import (
    FailedTask,
    failure_notification,
    render_html,
    render_text,
    success_notification,
)
from quire.record_types.run_result import ResultFile, RunResult
from quire.report.definition import ReportDefinition
from quire.report.request import RunRequest

SUMMARY = "flights_2013-01-01_2013-01-31_summary.xlsx"
BASE = "https://airflow.example.org/team"
RUN_ID = "manual__2013-02-01T06:00:00+00:00"
PUBLISHED_AT = datetime(2013, 2, 1, 6, tzinfo=UTC)
FILES = f"{BASE}/quire/reports/flights/published/ab12"
PAGE = f"{BASE}/quire/reports/flights/runs/manual__2013-02-01T06%3A00%3A00%2B00%3A00"
DEFINITION = ReportDefinition.model_validate(
    {
        "name": "flights",
        "title": "Flights <b>& more</b> {{ 7 * 7 }}",
        "source": {"sql": "a.sql", "time_column": "t"},
        "partition": "month",
        "parameters": {
            "carrier": {"type": "string", "default": None, "title": "Airline"},
            "cancelled": {"type": "boolean", "default": False},
            "delay": {"type": "integer", "default": None},
        },
    }
)
REQUEST = RunRequest(
    report="flights",
    start=date(2013, 1, 1),
    end=date(2013, 1, 31),
    timezone="America/New_York",
    parameters={"carrier": "AA", "cancelled": True, "delay": None},
    run_id="x",
    made_at="2013-02-01T06:00:00+00:00",
)


class _Reader(HTMLParser):
    """Collects the text and the links in a document."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.urls: list[str | None] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.urls.append(dict(attrs)["href"])

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def result(count: int = 2, **changes: Any) -> RunResult:
    names = [*(f"flights_2013-{number:02d}.xlsx" for number in range(1, count)), SUMMARY]
    files = tuple(result_file(name, rows=0 if name == SUMMARY else 27_004, bytes=3_140_000) for name in names)
    fields = {"report": "flights", "run": "ab12", "reused": False, "rows": 27_004, "published_at": PUBLISHED_AT}
    return RunResult(**{**fields, "files": files, **changes})


def result_file(name: str, **fields: Any) -> ResultFile:
    return ResultFile(name=name, key=f"reports/flights/ab12/{name}", **fields)


def success(run: RunResult, base_url: str = BASE) -> Any:
    return success_notification(DEFINITION, REQUEST, run, run_id=RUN_ID, base_url=base_url)


def test_success_lists_dates_parameters_rows_and_permanent_file_links() -> None:
    notification = success(result())
    assert notification.subject == "Flights <b>& more</b> {{ 7 * 7 }}, 2013-01-01 to 2013-01-31: ready"
    assert render_text(notification) == (
        "Flights <b>& more</b> {{ 7 * 7 }} is ready.\n\n"
        "Date range: 2013-01-01 to 2013-01-31\nTime zone: America/New_York\n"
        "Airline: AA\nCancelled: yes\nRows: 27,004\nFiles: 2 (6.3 MB)\n\n"
        f"flights_2013-01.xlsx (27,004 rows, 3.1 MB):\n  {FILES}/flights_2013-01.xlsx\n"
        f"{SUMMARY} (3.1 MB):\n  {FILES}/{SUMMARY}\n\n"
        f"View run:\n  {PAGE}\n"
        f"Download all files (zip):\n  {FILES}.zip\n"
    )


def test_success_file_shows_the_times_of_its_first_and_last_row() -> None:
    file = result_file(
        "flights_1.xlsx",
        rows=5,
        bytes=900,
        earliest="2013-01-01T05:15:00-05:00",
        latest="2013-01-14T21:30:00-05:00",
    )
    text = render_text(success(result(files=(file,))))
    assert "flights_1.xlsx (5 rows, 900 bytes, 2013-01-01 05:15:00 to 2013-01-14 21:30:00):" in text


def test_success_totals_follow_the_rows_in_one_short_line_each() -> None:
    totals = (("Amount", "1,234.30"), ("Last", "x\nRows: 9" + "y" * 600))
    text = render_text(success_notification(DEFINITION, REQUEST, result(), totals=totals, run_id=RUN_ID, base_url=BASE))
    assert "\nRows: 27,004\nAmount: 1,234.30\nLast: x Rows: 9yyy" in text
    assert max(map(len, text.splitlines())) < 520


def test_render_html_has_the_links_of_the_text_and_escapes_values() -> None:
    notification = success(result(warnings=("a < b\n& c",)))
    document = render_html(notification)
    reader = _Reader(document)
    assert reader.urls == [line.strip() for line in render_text(notification).splitlines() if line.startswith("  ")]
    assert {"Flights <b>& more</b> {{ 7 * 7 }} is ready", "AA", "27,004", "a < b & c"} <= set(reader.texts)
    assert "<b>" not in document


def test_success_long_lists_are_truncated_and_counted() -> None:
    notification = success(result(13, warnings=tuple(f"warning {number} " + "x" * 600 for number in range(8))))
    text = render_text(notification)
    assert text.count(".xlsx (") == 10
    assert "\nand 3 more files\n" in text
    assert [line[:15] for line in text.splitlines() if line.startswith("Note")] == [
        *(f"Note: warning {number}" for number in range(5)),
        "Note: 3 more wa",
    ]
    assert max(map(len, text.splitlines())) < 520
    assert {"and 3 more files", "3 more warnings on the run's page"} <= set(_Reader(render_html(notification)).texts)


def test_success_of_one_file_has_no_zip_and_reports_a_reused_run() -> None:
    text = render_text(success(result(1, reused=True)))
    assert "Files: 1 (3.1 MB)\nChanges: none since an earlier run" in text
    assert ".zip" not in text


def test_success_without_base_url_lists_files_without_links() -> None:
    notification = success(result(), base_url="")
    assert "http" not in render_text(notification) + render_html(notification)
    assert "None" not in render_text(notification) + render_html(notification)
    assert f"flights_2013-01.xlsx (27,004 rows, 3.1 MB)\n{SUMMARY}" in render_text(notification)
    assert notification.page_url == ""


def failure(*failed: FailedTask, request: RunRequest | None = REQUEST) -> Any:
    return failure_notification(DEFINITION, request, failed, run_id=RUN_ID, base_url=BASE)


def test_failure_names_the_stage_the_reason_and_the_other_tasks() -> None:
    notification = failure(
        FailedTask(stage="extract"),
        FailedTask(stage="extract", reason="the server <db>\nis away"),
        FailedTask(stage="extract", reason="another"),
    )
    assert notification.subject.endswith("2013-01-01 to 2013-01-31: failed")
    assert render_text(notification).endswith(
        "Failed stage: extract (and 2 more tasks)\nReason: the server <db> is away\n\nView run:\n  " + PAGE + "\n"
    )
    assert "the server <db> is away" in _Reader(render_html(notification)).texts


@pytest.mark.parametrize(
    ("failed", "text"),
    [
        (
            [FailedTask(stage="render")],
            "Failed stage: render\nReason: The task was killed or ran out of memory.",
        ),
        ([], "Reason: The run was stopped before it finished."),
    ],
)
def test_failure_without_a_reason_explains_it(failed: list[FailedTask], text: str) -> None:
    assert text in render_text(failure(*failed))


def test_failure_of_an_invalid_request_has_no_date_range() -> None:
    notification = failure(FailedTask(stage="plan", reason="set both start and end"), request=None)
    assert notification.subject == "Flights <b>& more</b> {{ 7 * 7 }}: failed"
    assert "Date range" not in render_text(notification)

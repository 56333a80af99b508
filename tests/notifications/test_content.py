"""What is told of a run, as text and as HTML, without Airflow."""

from __future__ import annotations

from datetime import date
from html.parser import HTMLParser
from typing import Any

import pytest
from quire.notifications import (
    FailedTask,
    RunFile,
    RunResult,
    failure_notification,
    render_html,
    render_text,
    success_notification,
)
from quire.report.definition import ReportDefinition
from quire.report.request import RunRequest

SUMMARY = "flights_2013-01-01_2013-01-31_summary.xlsx"
BASE = "https://airflow.example.org/team"
RUN_ID = "manual__2013-02-01T06:00:00+00:00"
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
    """Collects a document's text and addresses."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.addresses: list[str | None] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.addresses.append(dict(attrs)["href"])

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def told(count: int = 2, **changes: Any) -> RunResult:
    names = [*(f"flights_2013-{number:02d}.xlsx" for number in range(1, count)), SUMMARY]
    listed = tuple(RunFile(name=name, rows=0 if name == SUMMARY else 27_004, bytes=3_140_000) for name in names)
    return RunResult(**{"run": "ab12", "reused": False, "rows": 27_004, "files": listed, **changes})


def success(run: RunResult, base_url: str = BASE) -> Any:
    return success_notification(DEFINITION, REQUEST, run, run_id=RUN_ID, base_url=base_url)


def test_success_tells_days_parameters_rows_and_files_with_links_that_stay() -> None:
    notice = success(told())
    assert notice.subject == "Flights <b>& more</b> {{ 7 * 7 }}, 2013-01-01 to 2013-01-31: ready"
    assert render_text(notice) == (
        "Flights <b>& more</b> {{ 7 * 7 }} is ready.\n\n"
        "Days: 2013-01-01 to 2013-01-31 (America/New_York)\n"
        "Airline: AA\nCancelled: yes\nRows: 27,004\nFiles: 2, together 6.3 MB\n\n"
        f"flights_2013-01.xlsx (27,004 rows, 3.1 MB):\n  {FILES}/flights_2013-01.xlsx\n"
        f"{SUMMARY} (3.1 MB):\n  {FILES}/{SUMMARY}\n\n"
        f"The run's page:\n  {PAGE}\n"
        f"All files in one zip:\n  {FILES}.zip\n"
    )


def test_file_tells_its_first_and_last_row() -> None:
    file = RunFile(
        name="flights_1.xlsx",
        rows=5,
        bytes=900,
        earliest="2013-01-01T05:15:00-05:00",
        latest="2013-01-14T21:30:00-05:00",
    )
    text = render_text(success(told(files=(file,))))
    assert "flights_1.xlsx (5 rows, 900 bytes, 2013-01-01 05:15:00 to 2013-01-14 21:30:00):" in text


def test_totals_stand_below_the_rows_in_one_short_line_each() -> None:
    totals = (("Amount", "1,234.30"), ("Last", "x\nRows: 9" + "y" * 600))
    text = render_text(success_notification(DEFINITION, REQUEST, told(), totals=totals, run_id=RUN_ID, base_url=BASE))
    assert "\nRows: 27,004\nAmount: 1,234.30\nLast: x Rows: 9yyy" in text
    assert max(map(len, text.splitlines())) < 520


def test_html_says_what_the_text_says_and_shows_every_text_as_it_is() -> None:
    notice = success(told(warnings=("a < b\n& c",)))
    document = render_html(notice)
    found = _Reader(document)
    assert found.addresses == [line.strip() for line in render_text(notice).splitlines() if line.startswith("  ")]
    assert {"Flights <b>& more</b> {{ 7 * 7 }} is ready", "AA", "27,004", "a < b & c"} <= set(found.words)
    assert "<b>" not in document


def test_long_lists_are_cut_and_counted() -> None:
    notice = success(told(13, warnings=tuple(f"warning {number} " + "x" * 600 for number in range(8))))
    text = render_text(notice)
    assert text.count(".xlsx (") == 10
    assert "\nand 3 more\n" in text
    assert [line[:15] for line in text.splitlines() if line.startswith("Note")] == [
        *(f"Note: warning {number}" for number in range(5)),
        "Note: and 3 mor",
    ]
    assert max(map(len, text.splitlines())) < 520
    assert {"and 3 more", "and 3 more, on the run's page"} <= set(_Reader(render_html(notice)).words)


def test_one_file_needs_no_archive_and_a_reused_run_says_so() -> None:
    text = render_text(success(told(1, reused=True)))
    assert "Files: 1, of 3.1 MB\nChanged: nothing since these files were made" in text
    assert ".zip" not in text


def test_success_without_an_address_of_airflow_tells_files_without_links() -> None:
    notice = success(told(), base_url="")
    assert "http" not in render_text(notice) + render_html(notice)
    assert "None" not in render_text(notice) + render_html(notice)
    assert f"flights_2013-01.xlsx (27,004 rows, 3.1 MB)\n{SUMMARY}" in render_text(notice)
    assert notice.page == ""


def failure(*failed: FailedTask, request: RunRequest | None = REQUEST) -> Any:
    return failure_notification(DEFINITION, request, failed, run_id=RUN_ID, base_url=BASE)


def test_failure_tells_where_it_stopped_why_and_how_many_more() -> None:
    notice = failure(
        FailedTask(stage="extract"),
        FailedTask(stage="extract", reason="the server <db>\nis away"),
        FailedTask(stage="extract", reason="another"),
    )
    assert notice.subject.endswith("2013-01-01 to 2013-01-31: failed")
    assert render_text(notice).endswith(
        "Stopped at: extract, and 2 more\nReason: the server <db> is away\n\nThe run's page:\n  " + PAGE + "\n"
    )
    assert "the server <db> is away" in _Reader(render_html(notice)).words


@pytest.mark.parametrize(
    ("failed", "words"),
    [
        ([FailedTask(stage="render")], "Stopped at: render\nReason: its process ended without a word"),
        ([], "Reason: it was ended before it was done"),
    ],
)
def test_failure_without_a_reason_says_what_that_means(failed: list[FailedTask], words: str) -> None:
    assert words in render_text(failure(*failed))


def test_failure_of_what_could_not_be_understood_has_no_days() -> None:
    notice = failure(FailedTask(stage="plan", reason="give start and end"), request=None)
    assert notice.subject == "Flights <b>& more</b> {{ 7 * 7 }}: failed"
    assert "Days" not in render_text(notice)

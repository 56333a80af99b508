"""Tests the portal's API and links over HTTP, with a running Airflow instance and a real store."""

from __future__ import annotations

import hashlib
import io
import re
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest
from python_calamine import CalamineWorkbook
from quire.dev_stack.stack import SOURCE_DATABASE, LocalStack

from tests.airflow.portal import ask, browser, program, show, wait
from tests.polling import wait_until
from tests.workbooks import sheet_rows

FEBRUARY = {"start": "2013-02-01", "end": "2013-02-28"}
ROWS = 24_951  # in February


@pytest.fixture(scope="module")
def portal(running_stack: LocalStack) -> Iterator[httpx.Client]:
    with program(running_stack) as client:
        yield client


@pytest.fixture(scope="module")
def february(portal: httpx.Client) -> dict[str, Any]:
    """A published run."""
    return wait(portal, "flights", ask(portal, "flights", **FEBRUARY, formats=["xlsx", "csv"]))


def test_reports_are_listed_with_parameters_and_presets(portal: httpx.Client) -> None:
    reports = {report["name"]: report for report in portal.get("/api/reports").json()}
    assert {"flights", "daily", "unreachable"} <= set(reports)
    assert "torn" not in reports  # its definition is invalid
    flights = reports["flights"]
    assert flights == portal.get("/api/reports/flights").json()
    assert (flights["title"], flights["partition"], flights["formats"]) == ("Flights from New York", "month", ["xlsx"])
    assert [parameter["name"] for parameter in flights["parameters"]] == ["carrier"]
    assert "Last month" in [preset["title"] for preset in flights["presets"]]
    assert (flights["may_ask"], flights["may_cancel"]) == (True, True)


def test_requested_run_lists_its_files_and_stages(portal: httpx.Client, february: dict[str, Any]) -> None:
    assert (february["state"], february["rows"], february["asked_by"]) == ("done", ROWS, "admin")
    assert [(file["name"], file["rows"]) for file in february["files"]] == [
        ("flights_2013-02.xlsx", ROWS), ("flights_2013-02.csv", ROWS), ("flights_2013-02_summary.xlsx", 0),
    ]  # fmt: skip
    assert {stage["stage"] for stage in february["stages"]} == {
        "plan", "extract", "layout", "aggregate", "render", "publish",
    }  # fmt: skip
    assert portal.get(f"/api/reports/flights/runs/{february['run_id']}/files").json() == february["files"]
    listed = portal.get("/api/reports/flights/runs", params={"limit": 100}).json()
    assert february["run_id"] in [run["run_id"] for run in listed]


def test_older_runs_are_on_the_next_pages(
    running_stack: LocalStack, portal: httpx.Client, february: dict[str, Any]
) -> None:
    wait(portal, "flights", ask(portal, "flights", **FEBRUARY, parameters={"carrier": "HA"}))
    newest, second = portal.get("/api/reports/flights/runs", params={"limit": 2}).json()
    (older_run,) = portal.get("/api/reports/flights/runs", params={"limit": 1, "offset": 1}).json()
    assert (older_run["run_id"], older_run["run_id"] == newest["run_id"]) == (second["run_id"], False)
    with browser(running_stack) as pages:
        first = pages.get("/reports/flights", params={"limit": 1}).text
        assert (newest["url"] in first, second["url"] in first, 'rel="prev"' in first) == (True, False, False)
        (further,) = re.findall(r'rel="next" href="([^"#]+)', first)
        older = pages.get(f"{running_stack.airflow.url}{further.replace('&amp;', '&')}").text
        assert (newest["url"] in older, second["url"] in older, 'rel="prev"' in older) == (False, True, True)
        assert pages.get("/reports/flights", params={"offset": -1}).status_code == 422


def test_file_is_downloaded_from_its_permanent_url(
    running_stack: LocalStack, portal: httpx.Client, february: dict[str, Any]
) -> None:
    redirect = portal.get(f"{running_stack.airflow.url}{february['files'][0]['url']}")
    assert redirect.status_code == 302
    assert redirect.headers["cache-control"] == "no-store"
    answer = httpx.get(redirect.headers["location"])
    disposition = "attachment; filename=\"flights_2013-02.xlsx\"; filename*=UTF-8''flights_2013-02.xlsx"
    assert answer.headers["content-disposition"] == disposition
    rows = sheet_rows(CalamineWorkbook.from_filelike(io.BytesIO(answer.content)), "Flights from New York")
    assert len(rows) == 1 + ROWS + 1
    with psycopg.connect(running_stack.postgres.url(SOURCE_DATABASE)) as connection:
        total = connection.execute("SELECT sum(distance) FROM flights WHERE month = 2").fetchone()
    assert total is not None
    distance = rows[0].index("Miles")
    assert sum(row[distance] for row in rows[1:-1]) == float(total[0])


def test_link_expires_and_rejects_another_key_while_the_url_stays_valid(
    running_stack: LocalStack, portal: httpx.Client
) -> None:
    run = wait(portal, "daily", ask(portal, "daily", "2013-02-03", "2013-02-03"))
    address = f"{running_stack.airflow.url}{run['files'][0]['url']}"
    link = portal.get(address).headers["location"]
    assert "X-Amz-Expires=2&" in link
    assert httpx.get(link).status_code == 200
    other = portal.get(f"{running_stack.airflow.url}{run['files'][1]['url']}").headers["location"]
    assert httpx.get(other).status_code == 200
    assert httpx.get(f"{other.partition('?')[0]}?{link.partition('?')[2]}").status_code == 403
    wait_until(lambda: httpx.get(link).status_code == 403)
    assert httpx.get(portal.get(address).headers["location"]).status_code == 200


def test_archive_contains_every_file_unchanged(
    running_stack: LocalStack, portal: httpx.Client, february: dict[str, Any]
) -> None:
    answer = portal.get(f"{running_stack.airflow.url}{february['archive']}")
    assert answer.headers["content-type"] == "application/zip"
    assert "flights_2013-02-01_2013-02-28.zip" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        assert sizes == {file["name"]: file["bytes"] for file in february["files"]}
        hashes = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in sizes}
        assert hashes == {file["name"]: file["sha256"] for file in february["files"]}
        assert all(entry.compress_size >= entry.file_size for entry in archive.infolist())


@pytest.mark.parametrize(
    "path",
    [
        "/reports/flights/published/" + "0" * 32 + "/flights_2013-02_summary.xlsx",
        "/reports/flights/published/{run}/../../../partitions/x",
        "/reports/flights/published/{run}/..%2Fmanifest.json",
        "/reports/flights/published/{run}/manifest.json",
        "/reports/daily/published/{run}/flights_2013-02_summary.xlsx",
        "/reports/nothing/published/{run}/flights_2013-02_summary.xlsx",
        "/api/reports/flights/runs/none",
        "/api/reports/flights/runs/%2E%2E",
        "/api/reports/flights/runs/~",
        "/api/reports/flights/runs/%00",
        "/static/app.py",
        "/static/..%2Fapp.py",
    ],
)
def test_url_without_a_resource_returns_an_error(portal: httpx.Client, february: dict[str, Any], path: str) -> None:
    answer = portal.get(path.format(run=february["run"]))
    assert answer.status_code in (403, 404, 422), answer.text
    assert set(answer.json()) == {"detail"}


def test_hundred_concurrent_requests_start_one_run(running_stack: LocalStack, portal: httpx.Client) -> None:
    request: dict[str, Any] = {"start": "2013-03-03", "end": "2013-03-04", "parameters": {"carrier": "HA"}}
    limits = httpx.Limits(max_connections=100)
    with (
        httpx.Client(base_url=portal.base_url, headers=portal.headers, timeout=120, limits=limits) as client,
        ThreadPoolExecutor(100) as pool,
    ):
        answers = list(pool.map(lambda _: client.post("/api/reports/flights/runs", json=request), range(100)))
    assert {answer.status_code for answer in answers} <= {200, 202}  # the last requests may find the run published
    assert len({answer.json()["run_id"] for answer in answers}) == 1
    assert sum(answer.json()["started"] for answer in answers) == 1
    run_id = answers[0].json()["run_id"]
    runs = portal.get("/api/reports/flights/runs", params={"limit": 100}).json()
    assert [run["run_id"] for run in runs if run["run_id"].startswith(run_id.rpartition("__")[0])] == [run_id]
    assert run_id.endswith("__1")
    # once the run has finished, its files answer an identical request, because no row has changed
    first = wait(portal, "flights", run_id)
    again = portal.post("/api/reports/flights/runs", json=request)
    answer = again.json()
    assert (again.status_code, answer["run_id"], answer["started"]) == (200, run_id, False)
    assert (answer["run"], answer["files"]) == (first["run"], first["files"])
    # a run that is requested all the same finds that it is already published
    second = wait(portal, "flights", ask(portal, "flights", **request, fan_out=True))
    assert (second["run"], first["reused"], second["reused"]) == (first["run"], False, True)


def test_estimate_counts_cached_rows_exactly(portal: httpx.Client, february: dict[str, Any]) -> None:
    stored = portal.post("/api/reports/flights/estimate", json=FEBRUARY).json()
    assert stored == {"rows": ROWS, "bytes": stored["bytes"], "partitions": 1, "stored": 1, "is_exact": True}
    xlsx = february["files"][0]["bytes"]
    assert 0.5 < stored["bytes"] / xlsx < 2
    guessed = portal.post("/api/reports/flights/estimate", json={"start": "2013-02-01", "end": "2013-11-20"}).json()
    assert (guessed["partitions"], guessed["is_exact"]) == (10, False)
    assert 0.5 < guessed["rows"] / 300_000 < 1.5


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"start": "2013-02-30", "end": "2013-03-01"}, "start is '2013-02-30'"),
        ({"start": "2013-03-02", "end": "2013-03-01"}, "is after end"),
        ({**FEBRUARY, "parameters": {"carier": "AA"}}, "did you mean carrier?"),
        ({**FEBRUARY, "parameters": {"carrier": "'; DROP TABLE flights"}}, "use one of"),
        ({**FEBRUARY, "formats": ["pdf"]}, "format 'pdf'"),
        ({**FEBRUARY, "force": True}, "force is not a field in this request"),
        ({"start": "2013-02-01"}, "end is required"),
        ([], "must be a JSON object"),
    ],
)
def test_invalid_request_is_rejected_with_its_reason(portal: httpx.Client, body: Any, reason: str) -> None:
    for place in ("estimate", "runs"):
        answer = portal.post(f"/api/reports/flights/{place}", json=body)
        assert answer.status_code == 422
        assert reason in answer.json()["detail"]


def test_failed_runs_show_their_errors_in_the_list(portal: httpx.Client) -> None:
    # if a run is triggered in Airflow with an invalid conf, its date range is unknown
    reasons = {}
    for wrong in ("carier", "carrie"):
        answer = httpx.post(
            f"{str(portal.base_url).removesuffix('/quire/')}/api/v2/dags/flights/dagRuns",
            headers=portal.headers,
            json={"logical_date": None, "conf": {"start": "2013-01-01", "end": "2013-01-31", wrong: "AA"}},
        )
        run = wait(portal, "flights", answer.raise_for_status().json()["dag_run_id"])
        assert (run["state"], run["start"]) == ("failed", None)
        assert run["error"] == f"flights: unknown parameter '{wrong}'; did you mean carrier?"
        reasons[run["run_id"]] = run["error"]
    for _ in range(2):  # the errors come from Airflow at first, and then from the cache
        runs = portal.get("/api/reports/flights/runs", params={"limit": 100}).json()
        assert {run["run_id"]: run["error"] for run in runs if run["run_id"] in reasons} == reasons


def test_cancelled_run_is_listed_as_cancelled(portal: httpx.Client) -> None:
    run_id = ask(portal, "unreachable", "2013-01-01", "2013-01-31")
    deadline = time.monotonic() + 120
    while not (trouble := (show(portal, "unreachable", run_id)["progress"] or {}).get("trouble")):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert "127.0.0.1:9 is not available" in trouble
    answer = portal.post(f"/api/reports/unreachable/runs/{run_id}/cancel")
    assert answer.status_code == 202
    assert wait(portal, "unreachable", run_id)["state"] == "cancelled"
    # canceling a finished run has no effect
    assert portal.post(f"/api/reports/unreachable/runs/{run_id}/cancel").json()["state"] == "cancelled"


def test_estimate_with_an_unavailable_source_returns_503(portal: httpx.Client) -> None:
    answer = portal.post("/api/reports/unreachable/estimate", json=FEBRUARY)
    assert answer.status_code == 503
    assert "127.0.0.1:9 is not available" in answer.json()["detail"]
    assert "s3cr3t" not in answer.text


def test_request_for_a_paused_report_is_rejected(running_stack: LocalStack, portal: httpx.Client) -> None:
    airflow = f"{running_stack.airflow.url}/api/v2/dags/daily"
    httpx.patch(airflow, headers=portal.headers, json={"is_paused": True}).raise_for_status()
    try:
        answer = portal.post("/api/reports/daily/runs", json={"start": "2013-07-01", "end": "2013-07-01"})
        assert answer.status_code == 409
        assert "Report daily is paused in Airflow" in answer.json()["detail"]
    finally:
        httpx.patch(airflow, headers=portal.headers, json={"is_paused": False}).raise_for_status()


def test_run_page_shows_summaries_and_files(running_stack: LocalStack, february: dict[str, Any]) -> None:
    with browser(running_stack) as pages:
        text = pages.get(f"/reports/flights/runs/{february['run_id']}").raise_for_status().text
    assert all(file["url"] in text for file in february["files"])
    assert text.count('<svg class="chart ') == 4
    assert "United Air Lines Inc." in text
    assert "24,951 rows" in text


def test_form_requests_a_run_and_redirects_to_it(running_stack: LocalStack) -> None:
    with browser(running_stack) as pages:
        text = pages.get("/reports/flights").raise_for_status().text
        (token,) = set(re.findall(r'name="quire-token" value="([^"]+)"', text))
        fields = {"quire-token": token, "start": "2013-02-05", "end": "2013-02-05", "carrier": "", "formats": "xlsx"}
        answer = pages.post("/reports/flights", data=fields)
        assert answer.status_code == 303
        run_id = answer.headers["location"].rpartition("/")[2]
        wrong = pages.post("/reports/flights", data={**fields, "end": "2013-02-04"})
        assert wrong.status_code == 422
        assert "is after end" in wrong.text
        assert 'value="2013-02-05"' in wrong.text  # the form keeps the submitted values
    with program(running_stack) as portal:
        assert show(portal, "flights", run_id)["start"] == "2013-02-05"
        assert wait(portal, "flights", run_id)["state"] == "done"


def test_task_that_published_links_to_the_run_page(running_stack: LocalStack, february: dict[str, Any]) -> None:
    with running_stack.airflow.client() as client:
        path = f"/dags/flights/dagRuns/{february['run_id']}/taskInstances/plan/links"
        links = client.get(path).raise_for_status().json()["extra_links"]
    assert links == {"Report": f"{running_stack.airflow.url}{february['url']}"}

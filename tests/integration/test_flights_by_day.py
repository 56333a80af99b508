"""``quire run --json`` reads each day of a year once, and again after the tables change."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from quire.dev_stack.flights import load_flights
from quire.dev_stack.s3_server import S3Server
from quire.object_store.s3_store import S3Store
from quire.settings import CLONE

from tests.cli.command import quire
from tests.events import write_report

pytestmark = pytest.mark.server

ONE_ROW = "(SELECT ctid FROM flights WHERE time_hour = '2013-01-03 10:00-05' LIMIT 1)"


@dataclass
class Days:
    """The flights-by-day report, which reads from a separate database."""

    environment: dict[str, str]
    owner: str
    end: str

    def command(self, *arguments: str) -> str:
        done = quire(self.environment, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def run(self, report: str = "flights") -> dict[str, Any]:
        result: dict[str, Any] = json.loads(
            self.command("run", report, "--start", "2013-01-01", "--end", self.end, "--json")
        )
        return result

    def extracted(self) -> list[str]:
        """Runs the report, and returns the days that the run extracted."""
        return [part["key"] for part in self.run()["partitions"] if not part["stored"]]

    def execute(self, *statements: str, commit: bool = True) -> None:
        with psycopg.connect(self.owner) as connection:
            for statement in statements:
                connection.execute(statement)
            (connection.commit if commit else connection.rollback)()


@pytest.fixture(params=["2013-01-08", pytest.param("2013-12-31", marks=pytest.mark.slow)])
def last_day(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["tracked", "versions"])
def freshness(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def days(
    tmp_path: Path, fresh_database: str, s3_server: S3Server, bucket: S3Store, last_day: str, freshness: str
) -> Days:
    load_flights(fresh_database, reader_password="reader")
    definition = yaml.safe_load((CLONE / "include" / "reports" / "flights.yaml").read_text())
    definition["source"]["freshness"] = freshness
    sql = (CLONE / "include" / "sql" / "flights" / "extract.sql").read_text()
    write_report(tmp_path, "flights", {**definition, "partition": "day", "workbook": {"detail": False}}, sql)
    write_report(tmp_path, "days", {**definition, "partition": "day", "workbook": {}}, sql)
    environment = {
        "QUIRE_INCLUDE": str(tmp_path),
        "AIRFLOW_CONN_QUIRE_SOURCE": fresh_database,
        "AIRFLOW_CONN_QUIRE_STORE": s3_server.connection,
        "QUIRE_BUCKET": bucket.bucket,
    }
    return Days(environment=environment, owner=fresh_database, end=last_day)


def test_days_are_read_once_and_again_after_changes_of_the_tables(days: Days) -> None:
    first = days.run()
    every = [part["key"] for part in first["partitions"]]
    assert (every[0], every[-1]) == ("2013-01-01", days.end)
    assert [part["stored"] for part in first["partitions"]] == [False] * len(every)

    second = days.run()
    assert [part["stored"] for part in second["partitions"]] == [True] * len(every)
    assert (second["run"], second["reused"], second["files"][0]["key"]) == (
        first["run"], True, first["files"][0]["key"],
    )  # fmt: skip

    days.execute(f"UPDATE flights SET distance = distance + 1 WHERE ctid = {ONE_ROW}")
    third = days.run()
    assert [part["key"] for part in third["partitions"] if not part["stored"]] == ["2013-01-03"]
    assert (third["reused"], third["rows"]) == (False, first["rows"])

    days.execute(f"UPDATE flights SET time_hour = time_hour + interval '2 days', flight = 9999 WHERE ctid = {ONE_ROW}")
    assert days.extracted() == ["2013-01-03", "2013-01-05"]

    days.execute("UPDATE flights SET distance = 0", "DELETE FROM airlines", commit=False)
    assert days.extracted() == []

    days.execute("UPDATE airlines SET name = 'Another' WHERE carrier = 'AA'")
    assert days.extracted() == every

    days.execute("TRUNCATE flights")
    empty = days.run()
    assert [part["stored"] for part in empty["partitions"]] == [False] * len(every)
    assert empty["rows"] == 0


@pytest.mark.parametrize("freshness", ["versions"], indirect=True)
def test_one_changed_row_renders_one_workbook_again(days: Days) -> None:
    before = days.run("days")
    days.execute(f"UPDATE flights SET distance = distance + 1 WHERE ctid = {ONE_ROW}")
    after = days.run("days")
    assert [part["key"] for part in after["partitions"] if not part["stored"]] == ["2013-01-03"]
    changed = {file["name"] for file in after["files"] if not file["reused"]}
    assert changed == {"days_2013-01-03.xlsx", f"days_2013-01-01_{days.end}_summary.xlsx"}
    keys = {file["name"]: file["key"] for file in before["files"]}
    assert {file["name"] for file in after["files"] if keys[file["name"]] != file["key"]} == changed
    assert [file["name"] for file in after["files"]] == [file["name"] for file in before["files"]]


@pytest.mark.parametrize("freshness", ["tracked"], indirect=True)
def test_backfill_stores_partitions_that_runs_reuse_and_gc_keeps(days: Days) -> None:
    output = days.command("backfill", "flights", "--start", "2013-01-01", "--end", days.end)
    number = len(days.run()["partitions"])
    assert output.startswith(f"flights: stored {number} of {number} partitions with ")
    again = days.command("backfill", "flights", "--start", "2013-01-01", "--end", days.end)
    assert again.startswith(f"flights: stored 0 of {number} partitions with 0 rows; {number} cache hits")
    collected = days.command("gc")
    assert collected.startswith("deleted 0 runs, 0 superseded partitions, 0 shared workbooks, 0 objects")
    assert "records from the change log" in collected
    assert days.extracted() == []


@pytest.mark.parametrize("freshness", ["tracked"], indirect=True)
def test_backfill_of_a_report_without_reuse_is_rejected(days: Days, tmp_path: Path) -> None:
    file = tmp_path / "reports" / "flights.yaml"
    file.write_text(file.read_text().replace("freshness: tracked", "freshness: always"))
    done = quire(days.environment, "backfill", "flights", "--start", "2013-01-01", "--end", "2013-01-02")
    assert done.returncode == 2
    assert done.stderr.startswith("quire: flights: source.freshness is always: every run reads all rows")

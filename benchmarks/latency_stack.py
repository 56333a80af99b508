"""The local stack with many installed reports and past runs, and a client that requests reports as readers do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import httpx
import psycopg
import yaml
from quire.airflow_api.transports import sign_in
from quire.dev_stack.airflow_servers import ADMIN
from quire.dev_stack.flights import READER
from quire.dev_stack.stack import LocalStack
from quire.object_store.s3_store import S3Store

from benchmarks.places import CLONE, FOLDER, OURS

BULK_DAYS, BULK_ROWS = 90, 16_000  # days, and rows per day
POLL_SECONDS = 0.05
PAGE_POLL_SECONDS, PAGE_POLL_GROWTH, MAX_PAGE_POLL_SECONDS = 0.5, 1.25, 2.0  # as in portal.js
READERS = tuple(f"reader{number}" for number in range(1, 21))
TIMEOUT_SECONDS = 600
BULK_SQL = "SELECT id, at, kind, amount, note FROM public.bulk WHERE at >= %(start)s AND at < %(end)s ORDER BY at, id\n"
BULK_TABLE = f"""
CREATE TABLE public.bulk AS
SELECT n AS id, timestamptz '2013-01-01 00:00 America/New_York' + n * interval '1 day' / {BULK_ROWS} AS at,
       chr(97 + n % 5) AS kind, (n::bigint * 7919 % 1000000 / 100.0)::numeric(12,2) AS amount,
       md5((n % 4000)::text) AS note
  FROM generate_series(0, {BULK_DAYS * BULK_ROWS - 1}) AS n;
CREATE INDEX ON public.bulk (at);
ANALYZE public.bulk;
GRANT SELECT ON public.bulk TO {READER}
"""
PAST_RUNS = """
WITH template AS (SELECT * FROM dag_run WHERE dag_id = %(dag)s ORDER BY id LIMIT 1),
numbered AS (SELECT nextval('dag_run_id_seq') AS id, n FROM generate_series(1, %(runs)s) AS n),
inserted AS (
    INSERT INTO dag_run
    SELECT (jsonb_populate_record(NULL::dag_run, to_jsonb(template) || jsonb_build_object(
               'id', numbered.id, 'run_id', 'past__' || n, 'logical_date', NULL, 'state', 'success',
               'run_after', template.run_after - n * interval '1 minute'))).*
      FROM template, numbered
    RETURNING run_id
)
INSERT INTO task_instance
SELECT (jsonb_populate_record(NULL::task_instance, to_jsonb(task) || jsonb_build_object(
           'id', gen_random_uuid(), 'run_id', inserted.run_id))).*
  FROM inserted, template JOIN task_instance AS task USING (dag_id, run_id)
"""


@dataclass(frozen=True, kw_only=True)
class Portal:
    """A running portal.

    Args:
        stack: the stack.
        client: a client that is signed in as the administrator.
        readers: a client for each user.
        store: the store of the stack.
    """

    stack: LocalStack
    client: httpx.Client
    readers: Mapping[str, httpx.Client]
    store: S3Store

    def request(self, report: str, start: str, end: str) -> float:
        """Requests a report and returns the seconds until the link to its first file works."""
        return _request(self.client, report, start, end, polls=repeat(POLL_SECONDS))

    def watch(self, user: str, report: str, start: str, end: str) -> float:
        """Like ``request``, but as one of ``READERS``, and polls as a run page does."""
        return _request(self.readers[user], report, start, end, polls=_page_polls())

    def run_command(self, report: str, start: str, end: str) -> float:
        """Runs the same request with ``quire run``, and returns the wall time of the process."""
        command = [str(OURS), "-m", "quire", "run", report, "--start", start, "--end", end, "--json"]
        environment = {**os.environ, **self.stack.airflow.environment(), **self.stack.environment()}
        environment |= {"PYTHONPATH": str(CLONE / "plugins"), "QUIRE_INCLUDE": str(include_folder())}
        began = time.perf_counter()
        subprocess.run(command, env=environment, check=True, capture_output=True)
        return time.perf_counter() - began

    def forget(self, report: str) -> None:
        """Deletes a report's objects, so that the next request finds nothing cached."""
        self.unpublish(report)
        self._delete(f"partitions/{report}/", f"summaries/{report}/")

    def unpublish(self, report: str) -> None:
        """Deletes a report's published runs and workbooks, but not its partitions."""
        self._delete(f"workbooks/{report}/", f"reports/{report}/")

    def _delete(self, *folders: str) -> None:
        self.store.delete(entry.key for folder in folders for entry in self.store.list(folder))


def include_folder() -> Path:
    """Returns the folder of the installed reports."""
    return FOLDER / "latency" / "include"


def install_reports(count: int) -> None:
    """Installs the flights report, a report with many small days, and copies of the flights report.

    Args:
        count: the number of installed reports.
    """
    include = include_folder()
    shutil.rmtree(include, ignore_errors=True)
    shutil.copytree(CLONE / "include", include)
    flights = yaml.safe_load((include / "reports" / "flights.yaml").read_text())
    del flights["schedule"]
    (include / "sql" / "bulk.sql").write_text(BULK_SQL)
    tables = [{"name": "public.bulk", "time_column": "at"}]
    source = {"sql": "bulk.sql", "time_column": "at", "tables": tables, "freshness": "versions"}
    measures = {"rows": {"agg": "count"}, "amount": {"agg": "sum", "of": "amount"}}
    bulk = {
        "title": "Bulk",
        "source": source,
        "partition": "day",
        "timezone": flights["timezone"],
        "summaries": [{"name": "By kind", "by": ["kind"], "measures": measures}],
    }
    definitions = {"flights": flights, "bulk": bulk}
    definitions |= {f"copy_{number:04}": flights for number in range(count - 1)}
    for name, definition in definitions.items():
        (include / "reports" / f"{name}.yaml").write_text(yaml.safe_dump(definition, sort_keys=False))


@contextmanager
def open_portal(reports: int) -> Iterator[Portal]:
    """Starts the stack with a number of reports and with 5,000 past runs of the flights; stops it at the end."""
    install_reports(reports)
    folder = FOLDER / "latency" / "stack"
    shutil.rmtree(folder, ignore_errors=True)
    environment = {
        "QUIRE_INCLUDE": str(include_folder()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join([f"{ADMIN}:admin", *(f"{user}:user" for user in READERS)]),
    }
    stack = LocalStack(folder, fast=True, environment=environment)
    try:
        stack.start()
        with psycopg.connect(stack.environment()["AIRFLOW_CONN_QUIRE_OWNER"]) as connection:
            connection.execute(BULK_TABLE.encode())
        with ExitStack() as clients:
            signed_in = {user: clients.enter_context(_sign_in(stack, user)) for user in (ADMIN, *READERS)}
            yield Portal(stack=stack, client=signed_in[ADMIN], readers=signed_in, store=stack.s3.store())
    finally:
        stack.stop()


def add_past_runs(portal: Portal, count: int) -> None:
    """Copies the oldest run of the flights report, which must have ended, and updates the tables' statistics."""
    with psycopg.connect(portal.stack.postgres.url("airflow")) as connection:
        connection.execute(PAST_RUNS, {"dag": "flights", "runs": count})
        connection.execute("ANALYZE dag_run, task_instance")  # as autovacuum would, but not within the first minute


def _request(client: httpx.Client, report: str, start: str, end: str, *, polls: Iterable[float]) -> float:
    began = time.perf_counter()
    answer = client.post(f"/quire/api/reports/{report}/runs", json={"start": start, "end": end}).raise_for_status()
    requested = answer.json()
    files = requested.get("files") or _wait(client, report, requested["run_id"], polls)["files"]
    link = client.get(files[0]["url"])
    httpx.get(link.headers["location"], timeout=TIMEOUT_SECONDS).raise_for_status()
    return time.perf_counter() - began


def _wait(client: httpx.Client, report: str, run_id: str, polls: Iterable[float]) -> dict[str, Any]:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    for seconds in polls:
        time.sleep(seconds)
        run: dict[str, Any] = client.get(f"/quire/api/reports/{report}/runs/{run_id}").raise_for_status().json()
        if run["state"] == "done":
            return run
        if run["state"] not in ("waiting", "running") or time.monotonic() > deadline:
            break
    raise RuntimeError(f"run {run_id} of {report} is {run['state']}: {run}")


def _page_polls() -> Iterator[float]:
    """Yields the seconds between the requests of a run page: ``PAGE_POLL_SECONDS``, then more each time."""
    seconds = PAGE_POLL_SECONDS
    while True:
        yield seconds
        seconds = min(MAX_PAGE_POLL_SECONDS, seconds * PAGE_POLL_GROWTH)


def _sign_in(stack: LocalStack, user: str) -> httpx.Client:
    password = json.loads((stack.airflow.folder / "passwords.json").read_text())[user]
    client = sign_in(stack.airflow.url, user=user, password=password, seconds=TIMEOUT_SECONDS)
    client.base_url = httpx.URL(stack.airflow.url)
    return client

"""Compares a seven-year summary from cached partial summaries with a summary from all rows."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import psycopg
from quire.object_store.s3_store import S3Store
from quire.settings import StoreSettings

from benchmarks.database import BUCKET, Servers, lineitem_servers
from benchmarks.days import FIRST, STOP, query_of
from benchmarks.places import OURS
from benchmarks.reports import count_rows, empty_bucket, quire_environment
from benchmarks.results import Result, write_results

RUNS = 5
DAYS = ["--start", FIRST.isoformat(), "--end", (STOP - timedelta(days=1)).isoformat()]
# The query from section 2.4.1 of the TPC-H specification, for all seven years.
GROUP_BY = """
SELECT l_returnflag, l_linestatus, sum(l_quantity), sum(l_extendedprice), sum(l_extendedprice * (1 - l_discount)),
       sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)), avg(l_quantity), avg(l_extendedprice), avg(l_discount),
       count(*)
FROM lineitem GROUP BY 1, 2 ORDER BY 1, 2
"""
NOTES = (
    "`seconds` is the time that `quire run --json` reports (`seconds.total`), which excludes Python's startup but "
    "includes 0.2 to 0.3 s in which the stages import Polars and Arrow. For GROUP BY, it is how long the query takes.",
    "`quire, from the rows` is `quire run --force`, which extracts and summarizes all rows. Its aggregate stage is "
    "also listed.",
    "Before each run over cached partitions, the benchmark deletes the published run, so that Quire creates it again.",
)


def measure_stored(*, quick: bool) -> None:
    """Summarizes lineitem in monthly partitions at scale factor 10, or 0.1 if ``quick``."""
    with lineitem_servers(0.1 if quick else 10) as servers:
        rows = count_rows(servers.url, query_of(FIRST, STOP))
        empty_bucket(servers)
        _quire(servers, "track", "pricing")
        try:
            results = _results(servers, rows)
        finally:
            _quire(servers, "untrack", "pricing")
            empty_bucket(servers)
    write_results("stored", results, quick=quick, title="A summary over seven years", notes=NOTES)


def _results(servers: Servers, rows: int) -> list[Result]:
    forced = _run(servers, "--force")
    started = time.perf_counter()
    _quire(servers, "backfill", "pricing", *DAYS)
    stored = time.perf_counter() - started

    def run_unpublished() -> float:
        _unpublish(servers)
        return float(_run(servers)["seconds"]["total"])

    def run_published() -> float:
        run = _run(servers)
        if not run["reused"]:
            raise RuntimeError("quire published the run again")
        return float(run["seconds"]["total"])

    def group_by() -> float:
        with psycopg.connect(servers.url) as connection:
            started = time.perf_counter()
            connection.execute(GROUP_BY).fetchall()
            return time.perf_counter() - started

    return [
        _result("quire", rows, _median(run_unpublished), runs=RUNS),
        _result("quire, published already", rows, _median(run_published), runs=RUNS),
        _result("quire, from the rows", rows, forced["seconds"]["total"]),
        _result("its aggregate stage alone", rows, forced["seconds"]["aggregate"]),
        _result("quire backfill, all months", rows, stored),
        _result("PostgreSQL GROUP BY", rows, _median(group_by), runs=RUNS),
    ]


def _result(contender: str, rows: int, seconds: float, *, runs: int = 1) -> Result:
    print(f"{contender:30} {seconds:8.2f} s", flush=True)
    return Result(table="lineitem", contender=contender, rows=rows, runs=runs, seconds=round(seconds, 3), peak_bytes=0)


def _median(measure: Callable[[], float]) -> float:
    return sorted(measure() for _ in range(RUNS))[RUNS // 2]


def _run(servers: Servers, *options: str) -> dict[str, Any]:
    run: dict[str, Any] = json.loads(_quire(servers, "run", "pricing", *DAYS, "--json", *options))
    return run


def _quire(servers: Servers, *arguments: str) -> str:
    command: Sequence[str] = [str(OURS), "-m", "quire", *arguments]
    environment = {**quire_environment(servers), "PYTHONPATH": "plugins"}
    completed = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if completed.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {completed.stderr}")
    return completed.stdout


def _unpublish(servers: Servers) -> None:
    store = S3Store(StoreSettings.from_uri(servers.store, bucket=BUCKET))
    store.delete([entry.key for entry in store.list("reports/pricing/")])

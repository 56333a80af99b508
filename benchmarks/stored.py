"""Stored partitions: a summary over seven years, from what was calculated once, beside reading all of it again."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import psycopg
from quire.object_store import ObjectStore
from quire.settings import StoreSettings

from benchmarks.database import BUCKET, Servers, lineitem_servers
from benchmarks.days import FIRST, STOP, query_of
from benchmarks.places import OURS
from benchmarks.reports import count_rows, empty_bucket, quire_environment
from benchmarks.results import Result, write_results

RUNS = 5
DAYS = ["--start", FIRST.isoformat(), "--end", (STOP - timedelta(days=1)).isoformat()]
# TPC-H specification, 2.4.1, over all seven years.
GROUP_BY = """
SELECT l_returnflag, l_linestatus, sum(l_quantity), sum(l_extendedprice), sum(l_extendedprice * (1 - l_discount)),
       sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)), avg(l_quantity), avg(l_extendedprice), avg(l_discount),
       count(*)
FROM lineitem GROUP BY 1, 2 ORDER BY 1, 2
"""
NOTES = (
    "`seconds` is what `quire run --json` reports (`seconds.total`), without Python's start, or the time of the query "
    "itself.",
    "From the rows: `quire run --force`, which extracts and summarizes all rows; its aggregate stage is also listed.",
    "Before each run over cached partitions, the published run is deleted, so that the run is created again.",
)


def measure_stored(*, quick: bool) -> None:
    """Measures on lineitem of scale factor 10, a hundredth of it when ``quick``, by months."""
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
    began = time.perf_counter()
    _quire(servers, "backfill", "pricing", *DAYS)
    stored = time.perf_counter() - began

    def anew() -> float:
        _unpublish(servers)
        return float(_run(servers)["seconds"]["total"])

    def again() -> float:
        told = _run(servers)
        if not told["reused"]:
            raise RuntimeError("the published run was not found")
        return float(told["seconds"]["total"])

    def asked() -> float:
        with psycopg.connect(servers.url) as connection:
            began = time.perf_counter()
            connection.execute(GROUP_BY).fetchall()
            return time.perf_counter() - began

    return [
        _result("quire", rows, _median(anew), runs=RUNS),
        _result("quire, published already", rows, _median(again), runs=RUNS),
        _result("quire, from the rows", rows, forced["seconds"]["total"]),
        _result("its aggregate stage alone", rows, forced["seconds"]["aggregate"]),
        _result("quire backfill, all months", rows, stored),
        _result("PostgreSQL GROUP BY", rows, _median(asked), runs=RUNS),
    ]


def _result(contender: str, rows: int, seconds: float, *, runs: int = 1) -> Result:
    print(f"{contender:30} {seconds:8.2f} s", flush=True)
    return Result(table="lineitem", contender=contender, rows=rows, runs=runs, seconds=round(seconds, 3), peak_bytes=0)


def _median(ask: Callable[[], float]) -> float:
    return sorted(ask() for _ in range(RUNS))[RUNS // 2]


def _run(servers: Servers, *options: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(_quire(servers, "run", "pricing", *DAYS, "--json", *options))
    return told


def _quire(servers: Servers, *arguments: str) -> str:
    command: Sequence[str] = [str(OURS), "-m", "quire", *arguments]
    environment = {**quire_environment(servers), "PYTHONPATH": "plugins"}
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr}")
    return done.stdout


def _unpublish(servers: Servers) -> None:
    store = ObjectStore(StoreSettings.from_uri(servers.store, bucket=BUCKET))
    store.delete([entry.key for entry in store.list("reports/pricing/")])

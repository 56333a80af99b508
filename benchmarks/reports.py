"""Runs ``quire run`` with the reports in benchmarks/include."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import psycopg
from quire.object_store.s3_store import S3Store
from quire.settings import StoreSettings

from benchmarks.database import BUCKET, Servers
from benchmarks.places import CLONE, OURS

REDIRECT = ("sh", "-c", 'out="$1"; shift; exec "$@" > "$out"', "sh")


def count_rows(url: str, sql: str) -> int:
    """Returns the number of rows that a query selects; counting also warms the server's cache."""
    with psycopg.connect(url) as connection:
        ((rows,),) = connection.execute(f"SELECT count(*) FROM ({sql}) AS counted".encode()).fetchall()
    return int(rows)


def quire_environment(servers: Servers) -> dict[str, str]:
    """Returns environment variables that make ``quire`` use these servers and the benchmarks' reports."""
    return {
        **os.environ,
        "AIRFLOW_CONN_QUIRE_SOURCE": servers.url,
        "AIRFLOW_CONN_QUIRE_STORE": servers.store,
        "QUIRE_BUCKET": BUCKET,
        "QUIRE_INCLUDE": str(CLONE / "benchmarks" / "include"),
    }


def quire_run(report: str, first: date, stop: date, *, output: Path) -> Sequence[str | Path]:
    """Returns the command that runs a report for a date range and writes the output of ``--json`` to a file."""
    days = ["--start", first.isoformat(), "--end", (stop - timedelta(days=1)).isoformat()]
    return [*REDIRECT, output, OURS, "-m", "quire", "run", report, *days, "--force", "--json"]


def empty_bucket(servers: Servers) -> None:
    """Deletes all objects, so that each benchmark starts with the same free space."""
    store = S3Store(StoreSettings.from_uri(servers.store, bucket=BUCKET))
    store.delete([entry.key for entry in store.list("")])

"""Measures how much change tracking slows down writers: pgbench and COPY on a tracked and an untracked table."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from quire.dev_stack.postgres_server import PostgresServer, program
from quire.postgres.tracking.installation import track, untrack
from quire.report.definition import ReportDefinition

from benchmarks.places import FOLDER
from benchmarks.results import Result, write_results

CLIENTS, COPIED = 8, 1_000_000
ROUNDS = 3
TABLE = """
DROP TABLE IF EXISTS sales;
CREATE TABLE sales (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL, amount numeric(12,2), note text
);
INSERT INTO sales (at, amount, note)
SELECT timestamptz '2026-01-01' + n * interval '1 second', n / 100.0, md5(n::text) FROM generate_series(1, 100000) n;
ANALYZE sales
"""
# All clients write rows for the same day.
INSERT = (
    "INSERT INTO sales (at, amount, note) VALUES (timestamptz '2026-02-01' + random() * interval '1 day', 1.5, 'x');\n"
)
UPDATE = (
    "\\set id random(1, 100000)\nUPDATE sales SET amount = amount + 1, at = at + interval '1 second' WHERE id = :id;\n"
)
COPY = f"""
COPY sales (at, amount, note) FROM PROGRAM
$$seq 1 {COPIED} | awk '{{printf "2026-03-%02d 12:00:00+00\\t%d.25\\tnote %d\\n", $1 % 28 + 1, $1, $1}}'$$
"""
NOTES = (
    f"{CLIENTS} pgbench clients write to a tracked and an untracked table in turn. Each result is the median of "
    f"{ROUNDS} rounds; fsync is on.",
    "Samples of pg_locks, taken every 20 ms, showed no writer waiting for another on the change log. They exclude "
    "waits for file extension (locktype extend), which occur on any table.",
)


def measure_tracking(*, quick: bool) -> None:
    """Measures single-row inserts, single-row updates and a COPY of a million rows, with and without tracking."""
    seconds = 5 if quick else 30
    server = PostgresServer(FOLDER / "postgresql-durable", password="bench")  # noqa: S106 - loopback only
    try:
        server.start()
        server.create_database("sales")
        results = _results(server.url("sales"), seconds)
    finally:
        server.stop()
    write_results("tracking", results, quick=quick, title="Writing to a tracked table", notes=NOTES)


def _results(url: str, seconds: int) -> list[Result]:
    measured: dict[tuple[str, bool], list[tuple[int, float]]] = {}
    for _ in range(ROUNDS):
        for tracked in (False, True):
            with _table(url, tracked=tracked):
                for name, script in (("inserts", INSERT), ("updates", UPDATE)):
                    with _no_waits(url, rows=name == "updates"):  # two updates can hit the same row
                        rate = _pgbench(url, script, seconds)
                    measured.setdefault((name, tracked), []).append((round(rate * seconds), seconds))
                started = time.perf_counter()
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute(COPY.encode())
                measured.setdefault(("COPY", tracked), []).append((COPIED, time.perf_counter() - started))
    results = []
    for name in ("inserts", "updates", "COPY"):
        for tracked in (True, False):
            rows, spent = sorted(measured[name, tracked], key=lambda run: run[0] / run[1])[ROUNDS // 2]
            contender = "quire" if tracked else "not tracked"
            print(f"{name:10} {contender:12} {rows / spent:12,.0f} rows/s", flush=True)
            results.append(
                Result(table=name, contender=contender, rows=rows, runs=ROUNDS, seconds=round(spent, 3), peak_bytes=0)
            )
    return results


@contextmanager
def _table(url: str, *, tracked: bool) -> Iterator[None]:
    definition = ReportDefinition.model_validate(
        {
            "name": "sales",
            "partition": "day",
            "source": {
                "sql": "sales/extract.sql",
                "time_column": "at",
                "tables": [{"name": "public.sales", "time_column": "at"}],
                "freshness": "tracked",
            },
        }
    )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLE.encode())
    if tracked:
        track(definition, url)
    yield
    if tracked:
        untrack(definition.name, url)


@contextmanager
def _no_waits(url: str, *, rows: bool) -> Iterator[None]:
    """Samples locks and raises an error if a session waited for another; ``rows`` allows waits for row locks."""
    finished, waits = threading.Event(), list[str]()

    def watch() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not finished.wait(0.02):
                locks = connection.execute(
                    "SELECT l.locktype FROM pg_locks l LEFT JOIN pg_class c ON c.oid = l.relation "
                    "WHERE NOT l.granted AND l.locktype <> 'extend' AND (c.relname = 'change_log' OR "
                    "NOT %s AND l.locktype IN ('transactionid', 'tuple'))",
                    [rows],
                ).fetchall()
                waits.extend(kind for (kind,) in locks)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()
    if waits:
        raise RuntimeError(f"writers waited for each other: {waits[:5]}")


def _pgbench(url: str, script: str, seconds: int) -> float:
    """Returns transactions per second."""
    path = Path(FOLDER / "pgbench.sql")
    path.write_text(script)
    command = [program("pgbench"), "-n", "-c", str(CLIENTS), "-j", "2", "-T", str(seconds), "-f", str(path), url]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (rate,) = re.findall(r"tps = ([\d.]+)", output)
    return float(rate)

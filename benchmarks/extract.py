"""Extracting: PostgreSQL's rows into Parquet in S3, ours beside who reads them and beside COPY, which bounds us all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quire.local_stack.postgres import program

from benchmarks.database import lineitem_servers
from benchmarks.days import FIRST, STOP, query_of
from benchmarks.places import CLONE, FOLDER, OURS, PEERS
from benchmarks.reports import count_rows, empty_bucket, quire_environment
from benchmarks.results import OURS_NAME, contend, write_results

EXTRACTORS = CLONE / "benchmarks" / "extractors"
RUNS = 3
Job = tuple[str, Sequence[str | Path], int]


def measure_extract(*, quick: bool) -> None:
    """Measures on lineitem of scale factor 1, a tenth of it when ``quick``: one partition, and two at once."""
    out = FOLDER / "extract.parquet"
    sql = query_of(FIRST, STOP)
    with lineitem_servers(0.1 if quick else 1) as servers:
        rows = count_rows(servers.url, sql)
        results = [
            contend(
                command, table="lineitem", contender=name, rows=rows, runs=runs, environment=quire_environment(servers)
            )
            for name, command, runs in _jobs(sql, servers.url, out)
        ]
        empty_bucket(servers)
    write_results("extract", results, quick=quick, title="PostgreSQL to Parquet")


def _jobs(sql: str, url: str, out: Path) -> list[Job]:
    psql = [program("psql"), "--quiet", "--no-psqlrc", url, "--command"]
    copying = [*psql, rf"\copy ({sql}) TO '/dev/null' (FORMAT binary)"]
    return [
        ("COPY binary alone, no file", copying, RUNS),
        (OURS_NAME, [OURS, EXTRACTORS / "ours.py", sql, "1"], RUNS),
        (f"{OURS_NAME}, two at once", [OURS, EXTRACTORS / "ours.py", sql, "2"], RUNS),
        ("DuckDB postgres", [PEERS, EXTRACTORS / "duckdb_postgres.py", sql, url, out, "1"], RUNS),
        ("DuckDB postgres, two at once", [PEERS, EXTRACTORS / "duckdb_postgres.py", sql, url, out, "2"], RUNS),
        ("ConnectorX stream, no file", [PEERS, EXTRACTORS / "connectorx_stream.py", sql, url], RUNS),
        ("psycopg cursor, no file", [PEERS, EXTRACTORS / "named_cursor.py", sql, url], 1),
    ]

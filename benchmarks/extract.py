"""Compares Quire's extraction to Parquet in S3 with other readers, and with COPY alone as the upper bound."""

from __future__ import annotations

from pathlib import Path

from quire.dev_stack.postgres_server import program

from benchmarks.database import BUCKET, lineitem_servers
from benchmarks.days import FIRST, STOP, query_of
from benchmarks.places import CLONE, FOLDER, OURS, PEERS
from benchmarks.reports import count_rows, empty_bucket, quire_environment
from benchmarks.results import OURS_NAME, contend_in_turn, write_results

EXTRACTORS = CLONE / "benchmarks" / "extractors"
RUNS = 5
Command = list[str | Path]


def measure_extract(*, quick: bool) -> None:
    """Extracts lineitem at scale factor 1, or 0.1 if ``quick``, as one partition and as two partitions in parallel."""
    sql = query_of(FIRST, STOP)
    with lineitem_servers(0.1 if quick else 1) as servers:
        rows = count_rows(servers.url, sql)
        commands, environment = _commands(sql, servers.url), quire_environment(servers)
        results = contend_in_turn(commands, table="lineitem", rows=rows, runs=RUNS, environment=environment)
        empty_bucket(servers)
    write_results("extract", results, quick=quick, title="PostgreSQL to Parquet")


def _commands(sql: str, url: str) -> dict[str, Command]:
    psql = [program("psql"), "--quiet", "--no-psqlrc", url, "--command"]
    copying: Command = [*psql, rf"\copy ({sql}) TO '/dev/null' (FORMAT binary)"]
    ours: Command = [OURS, EXTRACTORS / "ours.py", sql]
    duckdb: Command = [PEERS, EXTRACTORS / "duckdb_postgres.py", sql, url]
    file, s3 = FOLDER / "extract", f"s3://{BUCKET}/extract"
    return {
        "COPY binary alone, no file": copying,
        OURS_NAME: [*ours, "1"],
        f"{OURS_NAME}, two at once": [*ours, "2"],
        "DuckDB postgres to S3": [*duckdb, s3, "1"],
        "DuckDB postgres to S3, two at once": [*duckdb, s3, "2"],
        "DuckDB postgres to a file": [*duckdb, file, "1"],
        "DuckDB postgres to a file, two at once": [*duckdb, file, "2"],
        "ConnectorX stream, no file": [PEERS, EXTRACTORS / "connectorx_stream.py", sql, url],
        "psycopg cursor, no file": [PEERS, EXTRACTORS / "named_cursor.py", sql, url],
    }

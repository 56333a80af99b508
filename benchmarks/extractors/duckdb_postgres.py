"""Writes Parquet to files or S3 with DuckDB's postgres extension: ``duckdb_postgres.py SQL URL PREFIX TASKS``.

An S3 PREFIX, such as ``s3://bucket/…``, refers to the store that AIRFLOW_CONN_QUIRE_STORE configures.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from types import ModuleType
from urllib.parse import parse_qs, unquote, urlsplit

import duckdb
import duckdb_extension_httpfs
import duckdb_extension_postgres_scanner

from benchmarks.days import cut, days_of, query_of


def main(sql: str, url: str, prefix: str, tasks: int) -> None:
    connection = duckdb.connect()
    _load(connection, duckdb_extension_postgres_scanner)
    if prefix.startswith("s3:"):
        _load(connection, duckdb_extension_httpfs)
        connection.execute(_secret(os.environ["AIRFLOW_CONN_QUIRE_STORE"]))
    connection.execute(f"ATTACH '{url}' AS source (TYPE postgres, READ_ONLY)")
    started = time.perf_counter()

    def extract(days: tuple[date, date]) -> None:
        query = query_of(*days).replace("lineitem", "source.lineitem")
        connection.cursor().execute(
            f"COPY ({query}) TO '{prefix}_{days[0]}.parquet' (FORMAT parquet, COMPRESSION zstd)"
        )

    with ThreadPoolExecutor(tasks) as pool:
        list(pool.map(extract, cut(*days_of(sql), tasks)))
    print(f"seconds {time.perf_counter() - started:.3f}")


def _load(connection: duckdb.DuckDBPyConnection, package: ModuleType) -> None:
    extension = next(Path(package.__path__[0]).rglob("*.duckdb_extension"))
    connection.execute(f"LOAD '{extension}'")


def _secret(store: str) -> str:
    place = urlsplit(store)
    parameters = parse_qs(place.query)
    return (
        f"CREATE SECRET (TYPE s3, KEY_ID '{place.username}', SECRET '{unquote(place.password or '')}', "
        f"ENDPOINT '{urlsplit(parameters['endpoint_url'][0]).netloc}', REGION '{parameters['region_name'][0]}', "
        "URL_STYLE 'path', USE_SSL false)"
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))

"""DuckDB's postgres extension to Parquet files: ``duckdb_postgres.py SQL URL OUT.parquet TASKS``."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import duckdb
import duckdb_extension_postgres_scanner

from benchmarks.days import cut, days_of, query_of


def main(sql: str, url: str, out: Path, tasks: int) -> None:
    extension = next(Path(duckdb_extension_postgres_scanner.__file__).parent.rglob("*.duckdb_extension"))
    connection = duckdb.connect()
    connection.execute(f"LOAD '{extension}'")
    connection.execute(f"ATTACH '{url}' AS source (TYPE postgres, READ_ONLY)")
    began = time.perf_counter()

    def extract(days: tuple[date, date]) -> None:
        query = query_of(*days).replace("lineitem", "source.lineitem")
        part = out.with_stem(f"{out.stem}_{days[0]}")
        connection.cursor().execute(f"COPY ({query}) TO '{part}' (FORMAT parquet, COMPRESSION zstd)")

    with ThreadPoolExecutor(tasks) as pool:
        list(pool.map(extract, cut(*days_of(sql), tasks)))
    print(f"seconds {time.perf_counter() - began:.3f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))

"""Writes with DuckDB's excel extension: ``duckdb_excel.py TABLE.parquet OUT.xlsx ROWS``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import duckdb
import duckdb_extension_excel


def main(table: str, out: str, rows: int) -> None:
    extension = next(Path(duckdb_extension_excel.__file__).parent.rglob("excel.duckdb_extension"))
    connection = duckdb.connect()
    connection.execute(f"LOAD '{extension}'")
    connection.execute(f"COPY (FROM '{table}' LIMIT {rows}) TO '{out}' WITH (FORMAT xlsx, HEADER true)")


if __name__ == "__main__":
    started = time.perf_counter()
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    print("seconds", time.perf_counter() - started)

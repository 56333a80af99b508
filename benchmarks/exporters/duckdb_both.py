"""Exports with DuckDB's postgres and excel extensions: ``duckdb_both.py SQL URL OUT.xlsx``."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
import duckdb_extension_excel
import duckdb_extension_postgres_scanner


def main(sql: str, url: str, out: str) -> None:
    connection = duckdb.connect()
    for package in (duckdb_extension_excel, duckdb_extension_postgres_scanner):
        extension = next(Path(package.__file__).parent.rglob("*.duckdb_extension"))
        connection.execute(f"LOAD '{extension}'")
    connection.execute(f"ATTACH '{url}' AS source (TYPE postgres, READ_ONLY)")
    query = sql.replace("lineitem", "source.lineitem")
    connection.execute(f"COPY ({query}) TO '{out}' WITH (FORMAT xlsx, HEADER true)")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3])

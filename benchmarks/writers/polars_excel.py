"""Writes with Polars' write_excel: ``polars_excel.py TABLE.parquet OUT.xlsx ROWS``."""

from __future__ import annotations

import sys
import time

import polars as pl


def main(table: str, out: str, rows: int) -> None:
    pl.read_parquet(table, n_rows=rows).write_excel(out, autofit=False)


if __name__ == "__main__":
    started = time.perf_counter()
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    print("seconds", time.perf_counter() - started)

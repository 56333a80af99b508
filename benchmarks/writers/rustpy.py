"""Writes with rustpy-xlsxwriter, a Python binding for rust_xlsxwriter: ``rustpy.py TABLE.parquet OUT.xlsx ROWS``."""

from __future__ import annotations

import sys
import time

import polars as pl
from rustpy_xlsxwriter import FastExcel


def main(table: str, out: str, rows: int) -> None:
    frame = pl.read_parquet(table, n_rows=rows)
    # rustpy-xlsxwriter writes decimals as text, but floats as numbers in the given format.
    frame = frame.with_columns(pl.selectors.decimal().cast(pl.Float64))
    # It has one format for both dates and timestamps, but each table contains only one of the two types.
    timestamps = frame.select(pl.selectors.datetime()).width
    datetime_format = "yyyy-mm-dd hh:mm:ss" if timestamps else "yyyy-mm-dd"
    FastExcel(out).format(float_format="#,##0.00", datetime_format=datetime_format).sheet("Rows", frame).save()


if __name__ == "__main__":
    started = time.perf_counter()
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    print("seconds", time.perf_counter() - started)

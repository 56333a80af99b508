"""Exports with Polars' read_database and write_excel: ``polars_both.py SQL URL OUT.xlsx``."""

from __future__ import annotations

import sys

import polars as pl
import psycopg


def main(sql: str, url: str, out: str) -> None:
    with psycopg.connect(url) as connection:
        pl.read_database(sql, connection).write_excel(out, autofit=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3])

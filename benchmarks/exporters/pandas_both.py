"""Exports with pandas' read_sql and to_excel, as most tutorials do: ``pandas_both.py SQL URL OUT.xlsx``."""

from __future__ import annotations

import sys

import pandas as pd
import sqlalchemy


def main(sql: str, url: str, out: str) -> None:
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.connect() as connection:
        pd.read_sql(sqlalchemy.text(sql), connection).to_excel(out, index=False, engine="xlsxwriter")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3])

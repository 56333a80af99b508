"""Writes a workbook shard's rows as CSV and Parquet files."""

from quire.csv_and_parquet.csv_file import write_csv
from quire.csv_and_parquet.parquet_file import write_parquet

__all__ = ["write_csv", "write_parquet"]

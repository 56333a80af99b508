"""Writes the rows of a workbook shard as CSV and Parquet."""

from quire.flat_files.csv_file import write_csv
from quire.flat_files.parquet_file import write_parquet

__all__ = ["write_csv", "write_parquet"]

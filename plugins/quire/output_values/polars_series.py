"""Converts Arrow columns to Polars series."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pyarrow as pa


def to_series(column: pa.Array) -> pl.Series:
    """Converts an Arrow array to a series, without copying the values if the type allows this."""
    series = pl.from_arrow(column)
    if not isinstance(series, pl.Series):
        raise TypeError(f"expected an array, not {type(column).__name__}")
    return series


def map_distinct(
    values: pl.Series, selected: pl.Series, function: Callable[[Any], Any], *, default: pl.Series
) -> pl.Series:
    """Applies a function to the selected rows of ``values``, and returns ``default`` with the results in those rows.

    The function is called once for each distinct value.

    Args:
        values: the function's arguments.
        selected: whether each row is selected; must depend only on the row's value.
        function: returns a result of the same type as ``default``.
        default: the results for all unselected rows.
    """
    distinct = values.filter(selected).unique()
    results = pl.Series([function(value) for value in distinct], dtype=default.dtype)
    return values.replace_strict(distinct, results, default=default)

"""Converts Arrow columns to Polars series."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pyarrow as pa


def to_series(column: pa.Array) -> pl.Series:
    """Converts an Arrow array to a series, without copying if the type allows it."""
    series = pl.from_arrow(column)
    if not isinstance(series, pl.Series):
        raise TypeError(f"expected an array, not {type(column).__name__}")
    return series


def map_distinct(
    values: pl.Series, selected: pl.Series, function: Callable[[Any], Any], *, default: pl.Series
) -> pl.Series:
    """Replaces each selected row of ``default`` with the function's result for the row's value.

    The function is called once per distinct value.

    Args:
        values: the function's arguments.
        selected: whether to call the function for each row; must depend only on the row's value.
        function: returns a value of ``default``'s type.
        default: the results for all other rows.
    """
    distinct = values.filter(selected).unique()
    results = pl.Series([function(value) for value in distinct], dtype=default.dtype)
    return values.replace_strict(distinct, results, default=default)

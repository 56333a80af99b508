"""Lazy Polars queries over Parquet objects where they lie."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from quire.artifacts import SourceColumn, StagedPartition
from quire.errors import IntegrityError, QueryError, StoreRefusedError, StoreUnavailableError, first_line
from quire.object_store import ObjectStore
from quire.source.arrow_types import storage_schema


def scan_rows(columns: tuple[SourceColumn, ...], staged: Sequence[StagedPartition], store: ObjectStore) -> pl.LazyFrame:
    """Returns the rows of partitions, as stored.

    Args:
        columns: of the query.
        staged: whose rows.
        store: where they are.
    """
    schema = pl.DataFrame(storage_schema(columns).empty_table()).schema
    return scan_objects([partition.object_key for partition in staged if partition.rows], schema, store)


def scan_objects(keys: Sequence[str], schema: pl.Schema, store: ObjectStore) -> pl.LazyFrame:
    """Returns the rows of some objects, which all have ``schema``: never inferred, since the first may be all NULL."""
    if not keys:
        return pl.LazyFrame(schema=schema)
    return pl.scan_parquet(
        [store.url(key) for key in keys],
        schema=schema,
        storage_options=store.polars_options(),
        missing_columns="raise",
        extra_columns="raise",
        glob=False,
    )


def collect_all(queries: Sequence[pl.LazyFrame], *, what: str) -> list[pl.DataFrame]:
    """Runs queries, those over the same rows in one pass.

    Args:
        queries: in the order of the answers.
        what: is asked for, in the error.

    Raises:
        IntegrityError: an object is gone.
        QueryError: a value cannot be summed, such as NaN in a ``numeric`` without scale.
        StoreRefusedError, StoreUnavailableError: an object could not be read.
    """
    try:
        return pl.collect_all(queries, engine="streaming")
    except pl.exceptions.PolarsError as error:
        raise QueryError(f"{what}: {first_line(error)}") from error
    except FileNotFoundError as error:
        raise IntegrityError(f"{what}: rows are gone from the store: {first_line(error)}; run it again") from error
    except PermissionError as error:
        raise StoreRefusedError(f"{what}: the rows may not be read: {first_line(error)}") from error
    except OSError as error:
        raise StoreUnavailableError(f"{what}: the rows cannot be read: {first_line(error)}") from error

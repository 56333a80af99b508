"""Runs Polars queries over stored rows after verifying the rows' checksums."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from quire.errors import QueryError, first_line
from quire.object_store import Store
from quire.partition_cache.row_reader import evict_on_damage, open_rows
from quire.postgres.arrow_types import storage_schema
from quire.record_types.stage_records import SourceColumn, StagedPartition


def scan_rows(columns: tuple[SourceColumn, ...], staged: Sequence[StagedPartition], store: Store) -> pl.LazyFrame:
    """Returns the partitions' rows as a LazyFrame.

    Polars itself neither verifies checksums nor retries truncated reads. PyArrow therefore decodes the row groups from
    verified ranges and passes them to Polars. A background thread reads the next row group in advance.

    Args:
        columns: the query's columns.
        staged: the partitions.
        store: the store that holds their rows.
    """
    schema = pl.DataFrame(storage_schema(columns).empty_table()).schema
    filled = [partition for partition in staged if partition.rows]
    if not filled:
        return pl.LazyFrame(schema=schema)

    def read(
        with_columns: list[str] | None, predicate: pl.Expr | None, _rows: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:
        for table in _row_groups(filled, schema.names() if with_columns is None else with_columns, store):
            frame = pl.DataFrame(table)
            yield frame if predicate is None else frame.filter(predicate)

    return register_io_source(read, schema=schema, validate_schema=True)


def _row_groups(staged: Sequence[StagedPartition], names: Sequence[str], store: Store) -> Iterator[pa.Table]:
    """Yields row groups while reading the next one in the background."""
    groups = _read_groups(staged, names, store)
    with ThreadPoolExecutor(1, thread_name_prefix="row groups") as pool:
        pending = pool.submit(next, groups, None)
        while (table := pending.result()) is not None:
            pending = pool.submit(next, groups, None)
            yield table


def _read_groups(staged: Sequence[StagedPartition], names: Sequence[str], store: Store) -> Iterator[pa.Table]:
    for partition in staged:
        with evict_on_damage(store, partition.object_key):
            file = open_rows(store, partition)
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=list(names))


def collect_all(
    queries: Sequence[pl.LazyFrame], *, what: str, engine: Literal["streaming", "in-memory"] = "streaming"
) -> list[pl.DataFrame]:
    """Runs queries and returns their results in the same order. Queries over the same rows share one pass.

    Args:
        queries: the queries to run.
        what: describes the result in the error message.
        engine: "in-memory" is suitable for a few rows, which Polars would process in one piece anyway.

    Raises:
        DamagedObjectError: rows are missing or damaged.
        QueryError: a value cannot be summed, such as NaN in a ``numeric`` without a scale.
        StoreRefusedError, StoreUnavailableError: rows cannot be read.
    """
    try:
        return pl.collect_all(queries, engine=engine)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise QueryError(f"{what}: {first_line(error)}") from error

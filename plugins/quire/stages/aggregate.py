"""Aggregate: the summaries, by lazy queries over the Parquet objects where they lie."""

from __future__ import annotations

import hashlib
import io
import logging
import time
import uuid
from collections.abc import Sequence

import polars as pl

from quire.artifacts import RunPlan, StagedPartition, StagedSummary
from quire.definition import ReportDefinition, Summary
from quire.errors import QueryError, StoreUnavailableError, concerning
from quire.measures import summarize
from quire.object_store import ObjectStore
from quire.source.arrow_types import storage_schema

logger = logging.getLogger(__name__)


def aggregate_summaries(
    definition: ReportDefinition, plan: RunPlan, staged: Sequence[StagedPartition], *, store: ObjectStore
) -> tuple[StagedSummary, ...]:
    """Stores each summary of the definition as one small Parquet object.

    Args:
        definition: the report.
        plan: of the run.
        staged: every partition of the run.
        store: where the rows are, and the summaries go.

    Raises:
        QueryError: a value cannot be summed, such as NaN in a ``numeric`` without scale.
        StoreUnavailableError: rows could not be read.
    """
    with concerning(report=definition.name):
        rows = _scan(plan, staged, store=store)
        return tuple(_store_summary(definition, plan, summary, rows, store=store) for summary in definition.summaries)


def _scan(plan: RunPlan, staged: Sequence[StagedPartition], *, store: ObjectStore) -> pl.LazyFrame:
    empty = pl.DataFrame(storage_schema(plan.columns).empty_table())
    if not any(partition.rows for partition in staged):
        return empty.lazy()
    return pl.scan_parquet(
        [store.url(partition.object_key) for partition in staged],
        schema=empty.schema,  # never inferred from the first object, which may be empty or all NULL
        storage_options=store.polars_options(),
        missing_columns="raise",
        extra_columns="raise",
        glob=False,
    )


def _store_summary(
    definition: ReportDefinition, plan: RunPlan, summary: Summary, rows: pl.LazyFrame, *, store: ObjectStore
) -> StagedSummary:
    began = time.monotonic()
    try:
        found = summarize(rows, summary, plan.columns, timezone=definition.timezone).collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        raise QueryError(f"summary {summary.name}: {str(error).splitlines()[0]}") from error
    except OSError as error:
        raise StoreUnavailableError(f"summary {summary.name}: the rows cannot be read: {error}") from error
    body = io.BytesIO()
    found.write_parquet(body)
    key = f"summaries/{definition.name}/{plan.source_digest}/{uuid.uuid4().hex}.parquet"
    stored = body.getvalue()
    store.put(key, stored)
    logger.info(
        "%s: summary %s has %s rows, in %.1f s", definition.name, summary.name, found.height, time.monotonic() - began
    )
    return StagedSummary(
        name=summary.name,
        object_key=key,
        rows=found.height,
        bytes=len(stored),
        sha256=hashlib.sha256(stored).hexdigest(),
    )

"""Estimates a report's size before it runs, based on cached partitions and the PostgreSQL planner."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from datetime import timedelta

from quire.errors import error_context
from quire.object_store import Store
from quire.portal.deadline_store import limit_store
from quire.portal.job_deadline import Deadline, WorkUnavailableError
from quire.portal.run_requests import ReportRequest
from quire.portal.views import EstimateView
from quire.postgres import SourceSession, open_transaction
from quire.postgres.keepalive import with_defaults
from quire.postgres.partition_query import estimate_query, query_columns
from quire.record_types.stage_records import PlannedRun, QueryEstimate, SourceColumn
from quire.stages.plan import estimate_uncached, plan_partitions

MAX_CHECKED_PARTITIONS = 500  # maximum number of lookups in the store; for more partitions, only the planner is used
GRACE_SECONDS = 2
# Average bytes per cell for each format, measured on TPC-H lineitem (16 columns) and the flights (19 columns).
CELL_BYTES = {"xlsx": 6.5, "csv": 7.5, "parquet": 1.3}


def estimate(
    report_request: ReportRequest, *, session: SourceSession, store: Store, deadline: Deadline
) -> EstimateView:
    """Returns a report's expected size. Reads no more data than the plan stage does.

    Raises:
        ReportError: the source or the store failed.
        WorkUnavailableError: the deadline has passed.
    """
    session = limit_session(session, deadline)
    request, definition = report_request.request, report_request.definition
    try:
        if definition.partition.periods(request.start, request.end) > MAX_CHECKED_PARTITIONS:
            return _estimate_range(report_request, session)
        planned = plan_partitions(definition, request, session=session, store=limit_store(store, deadline))
        uncached = estimate_uncached(definition, planned, session=session)
        return _estimate_partitions(report_request, planned, uncached)
    except CancelledError as error:
        raise WorkUnavailableError("The estimate was canceled.") from error


def limit_session(session: SourceSession, deadline: Deadline) -> SourceSession:
    """Returns a session that ends at the deadline; ``GRACE_SECONDS`` later, PostgreSQL cancels its statements."""
    seconds = math.ceil(deadline.remaining) + GRACE_SECONDS
    url = with_defaults(session.url, connect_timeout=str(seconds))
    timeout = min(timedelta(seconds=seconds), session.timeout)
    return replace(session.with_own_log(), url=url, timeout=timeout, cancelled=deadline.cancelled)


def _estimate_partitions(report_request: ReportRequest, planned: PlannedRun, uncached: QueryEstimate) -> EstimateView:
    rows = sum(part.rows for part in planned.cached) + round(uncached.rows)
    return EstimateView(
        rows=rows,
        bytes=_estimate_bytes(report_request, planned.plan.columns, rows),
        partitions=planned.partition_count,
        stored=len(planned.cached),
        is_exact=not planned.groups,
    )


def _estimate_range(report_request: ReportRequest, session: SourceSession) -> EstimateView:
    """Estimates a range with the planner alone, without considering cached partitions."""
    request, definition = report_request.request, report_request.definition
    with (
        error_context(report=definition.name),
        open_transaction(session, name=f"quire {definition.name} estimate") as transaction,
    ):
        rows = round(estimate_query(definition, request, transaction=transaction).rows)
        columns = query_columns(definition, request, request.date_range.as_partition(), transaction=transaction)
    partitions = definition.partition.periods(request.start, request.end)
    return EstimateView(
        rows=rows, bytes=_estimate_bytes(report_request, columns, rows), partitions=partitions, stored=0, is_exact=False
    )


def _estimate_bytes(report_request: ReportRequest, columns: Sequence[SourceColumn], rows: int) -> int:
    if not report_request.definition.workbook.detail:
        return 0
    cells = rows * len(report_request.definition.columns or columns)
    return round(sum(cells * CELL_BYTES[name] for name in report_request.formats))

"""How much a question would give, told before it is asked: from stored partitions, else by PostgreSQL's planner."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from quire.date_range import DatePartition
from quire.errors import error_context
from quire.object_store import S3Store
from quire.portal.deadline_store import HurriedStore
from quire.portal.run_requests import Question
from quire.portal.views import EstimateView
from quire.portal.work_queue import Deadline, WorkUnavailableError
from quire.postgres import SourceSession, SourceTransaction, open_transaction
from quire.postgres.keepalive import with_defaults
from quire.postgres.partition_query import bound_query, query_columns
from quire.records.stage_records import RunPlan, SourceColumn
from quire.stages.plan import plan_partitions

MAX_PARTITIONS = 500  # that are looked for in the store; of a range with more, the planner alone is asked
GRACE_SECONDS = 2
# Bytes of a cell, by format, as TPC-H's lineitem (16 columns) and the flights of 2013 (19 columns) have them.
CELL_BYTES = {"xlsx": 6.5, "csv": 7.5, "parquet": 1.3}


def estimate(question: Question, *, session: SourceSession, store: S3Store, deadline: Deadline) -> EstimateView:
    """Returns what a question would give; nothing is read but what plan reads.

    Raises:
        ReportError: what plan raises; WorkUnavailableError after the deadline.
    """
    session = _hurried(session, deadline)
    request, definition = question.request, question.definition
    try:
        if definition.partition.periods(request.start, request.end) > MAX_PARTITIONS:
            return _planned(question, session)
        plan = plan_partitions(definition, request, session=session, store=HurriedStore(store, deadline))
        return _counted(question, plan, session)
    except CancelledError as error:
        raise WorkUnavailableError("The estimate was given up") from error


def _hurried(session: SourceSession, deadline: Deadline) -> SourceSession:
    """Returns a session that ends with the deadline; PostgreSQL itself ends its statements a little later."""
    seconds = math.ceil(deadline.remaining) + GRACE_SECONDS
    url = with_defaults(session.url, connect_timeout=str(seconds))
    timeout = min(timedelta(seconds=seconds), session.timeout)
    return replace(session.with_own_log(), url=url, timeout=timeout, cancelled=deadline.cancelled)


def _counted(question: Question, plan: RunPlan, session: SourceSession) -> EstimateView:
    missing = [partition for group in plan.groups for partition in group]
    rows = sum(part.rows for part in plan.stored)
    if missing:
        with _transaction(question, session) as transaction:
            planned = _planned_rows(question, transaction)
        rows += round(
            planned * sum((part.stop - part.start).days for part in missing) / question.request.date_range.day_count
        )
    return EstimateView(
        rows=rows,
        bytes=_size(question, plan.columns, rows),
        partitions=plan.size,
        stored=len(plan.stored),
        is_exact=not missing,
    )


def _planned(question: Question, session: SourceSession) -> EstimateView:
    """Returns what the planner alone expects."""
    request, definition = question.request, question.definition
    with _transaction(question, session) as transaction:
        rows = round(_planned_rows(question, transaction))
        columns = query_columns(definition, request, _whole(question), transaction=transaction)
    partitions = definition.partition.periods(request.start, request.end)
    return EstimateView(
        rows=rows, bytes=_size(question, columns, rows), partitions=partitions, stored=0, is_exact=False
    )


@contextmanager
def _transaction(question: Question, session: SourceSession) -> Iterator[SourceTransaction]:
    report = question.definition.name
    with error_context(report=report), open_transaction(session, name=f"quire {report} estimate") as transaction:
        yield transaction


def _whole(question: Question) -> DatePartition:
    request = question.request
    stop = request.end + timedelta(days=1)
    return DatePartition(key="all", start=request.start, stop=stop, timezone=question.definition.timezone)


def _planned_rows(question: Question, transaction: SourceTransaction) -> float:
    """Returns how many rows PostgreSQL's planner expects of the whole range."""
    plan = transaction.explain(bound_query(question.definition, question.request, _whole(question)))
    return float(plan[0]["Plan"]["Plan Rows"])


def _size(question: Question, columns: Sequence[SourceColumn], rows: int) -> int:
    if not question.definition.workbook.detail:
        return 0
    cells = rows * len(question.definition.columns or columns)
    return round(sum(cells * CELL_BYTES[name] for name in question.formats))

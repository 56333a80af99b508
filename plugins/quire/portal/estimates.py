"""How much a question would give, told before it is asked: from stored partitions, else by PostgreSQL's planner."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from quire.artifacts import RunPlan
from quire.calendar_range import DatePartition
from quire.errors import concerning
from quire.object_store import ObjectStore
from quire.portal.questions import Question
from quire.portal.views import EstimateView
from quire.query import bound_query
from quire.source import SourceSession, open_transaction
from quire.source.lost_connections import with_defaults
from quire.stages.plan import plan_partitions

PATIENCE = timedelta(seconds=10)  # of somebody who fills in a form
# Bytes of a cell, by format, as TPC-H's lineitem (16 columns) and the flights of 2013 (19 columns) have them.
CELL_BYTES = {"xlsx": 6.5, "csv": 7.5, "parquet": 1.3}


def estimate(question: Question, *, session: SourceSession, store: ObjectStore) -> EstimateView:
    """Returns what a question would give; nothing is read but what plan reads.

    Raises:
        ReportError: what plan raises.
    """
    url = with_defaults(session.url, connect_timeout=str(int(PATIENCE.total_seconds())))
    session = replace(session.with_own_log(), url=url, timeout=min(PATIENCE, session.timeout))
    plan = plan_partitions(question.definition, question.request, session=session, store=store)
    missing = [partition for group in plan.groups for partition in group]
    rows = sum(part.rows for part in plan.stored)
    if missing:
        days = sum((partition.stop - partition.start).days for partition in missing)
        whole = (question.request.end - question.request.start).days + 1
        rows += round(_planned_rows(question, session) * days / whole)
    return EstimateView(
        rows=rows,
        bytes=_size(question, plan, rows),
        partitions=plan.size,
        stored=len(plan.stored),
        is_exact=not missing,
    )


def _planned_rows(question: Question, session: SourceSession) -> float:
    """Returns how many rows PostgreSQL's planner expects of the whole range."""
    request, definition = question.request, question.definition
    stop = request.end + timedelta(days=1)
    whole = DatePartition(key="all", start=request.start, stop=stop, timezone=definition.timezone)
    with (
        concerning(report=definition.name),
        open_transaction(session, name=f"quire {definition.name} estimate") as transaction,
    ):
        plan = transaction.explain(bound_query(definition, request, whole))
    return float(plan[0]["Plan"]["Plan Rows"])


def _size(question: Question, plan: RunPlan, rows: int) -> int:
    if not question.definition.workbook.detail:
        return 0
    cells = rows * len(question.definition.columns or plan.columns)
    return round(sum(cells * CELL_BYTES[name] for name in question.formats))

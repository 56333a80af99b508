"""A request is checked, and becomes an estimate, or a run within the caller's quota and the definition's limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quire.airflow_dag.connections import open_session
from quire.errors import RangeError
from quire.object_store import S3Store
from quire.portal.access import Reading
from quire.portal.estimates import estimate
from quire.portal.run_requests import Question, ask, read_question
from quire.portal.views import EstimateView
from quire.portal.work_queue import Deadline, WorkQueue

_QUEUE = WorkQueue()
_VALIDATIONS = WorkQueue("check", places=2)


async def check_question(reading: Reading, **asked: Any) -> Question:
    """Returns ``read_question`` of what was asked, read in a thread: other requests do not wait for it.

    Raises:
        RangeError, ParameterError: what ``read_question`` raises.
        WorkUnavailableError: too many others are being checked, or too many of the caller's wait.
    """
    user = reading.caller.user.get_id()
    return await _VALIDATIONS.run(user, lambda _: read_question(reading.definition, **asked), supersedes=False)


async def estimate_question(reading: Reading, question: Question, store: S3Store) -> EstimateView:
    """Returns what a question would give.

    Raises:
        WorkUnavailableError: too many others are being estimated, or it took too long.
        ReportError: the source or the store cannot be asked.
        SupersededError: the caller asked for another estimate meanwhile.
    """
    return await _QUEUE.run(reading.caller.user.get_id(), _estimation(reading, question, store))


def _estimation(reading: Reading, question: Question, store: S3Store) -> Callable[[Deadline], EstimateView]:
    def work(deadline: Deadline) -> EstimateView:
        return estimate(question, session=open_session(reading.definition), store=store, deadline=deadline)

    return work


async def request_run(asking: Reading, question: Question, store: S3Store) -> tuple[str, bool]:
    """Returns the run that answers a question, and whether it was started for it.

    Raises:
        RangeError: it would give more rows than the definition allows.
        WorkUnavailableError, ReportError: how many rows it would give cannot be estimated.
        BusyError, PausedError, QuotaError, RefusedError: what ``ask`` raises.
    """
    most = asking.definition.limits.rows
    if most is not None:
        # The form estimates too, at the same time: neither supersedes the other.
        user = f"run:{asking.caller.user.get_id()}"
        expected = await _QUEUE.run(user, _estimation(asking, question, store), supersedes=False)
        if expected.rows > most:
            about = "" if expected.is_exact else "about "
            raise RangeError(
                f"At most {most:,} rows of this report at once; this is {about}{expected.rows:,}: choose fewer days",
                report=asking.definition.name,
            )
    return await ask(asking.caller.api, question, user=asking.caller.user.get_name())

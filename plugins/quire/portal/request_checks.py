"""Validates report requests, estimates their size, and starts runs within the quota and the definition's limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quire.errors import RangeError
from quire.object_store import Store
from quire.portal.access import ReportAccess
from quire.portal.estimates import estimate
from quire.portal.job_deadline import Deadline
from quire.portal.resources import PortalResources
from quire.portal.run_requests import ReportRequest, find_newest_run, find_or_start_run, parse_request, will_publish
from quire.portal.unchanged_runs import UnchangedRun, find_unchanged_run
from quire.portal.views import EstimateView


async def validate_request(access: ReportAccess, resources: PortalResources, **fields: Any) -> ReportRequest:
    """Calls ``parse_request`` in a thread, so that it does not block other requests.

    Raises:
        RangeError, ParameterError: the request is invalid.
        WorkUnavailableError: too many requests are being validated.
    """
    user = access.caller.user.get_id()
    return await resources.validations.run(user, lambda _: parse_request(access.definition, **fields), supersedes=False)


async def estimate_request(
    access: ReportAccess, report_request: ReportRequest, *, resources: PortalResources, store: Store
) -> EstimateView:
    """Returns a report's expected size.

    Raises:
        WorkUnavailableError: too many estimates are running, or this estimate timed out.
        ReportError: the source or the store failed.
        SupersededError: the caller requested another estimate in the meantime.
    """
    work = _estimation(access, report_request, resources=resources, store=store)
    return await resources.estimates.run(access.caller.user.get_id(), work)


def _estimation(
    access: ReportAccess, report_request: ReportRequest, *, resources: PortalResources, store: Store
) -> Callable[[Deadline], EstimateView]:
    def work(deadline: Deadline) -> EstimateView:
        session = resources.open_session(access.definition)
        return estimate(report_request, session=session, store=store, deadline=deadline)

    return work


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedRun:
    """The run that serves a request.

    Args:
        run_id: the run's ID.
        started: whether the request started the run.
        unchanged: the run itself, if it was published before and is still current.
    """

    run_id: str
    started: bool = False
    unchanged: UnchangedRun | None = None


async def request_run(
    access: ReportAccess, report_request: ReportRequest, *, resources: PortalResources, store: Store
) -> RequestedRun:
    """Returns the run that serves a request: a published run that is still current, an active run, or a new run.

    Raises:
        RangeError: the report would have more rows than the definition allows.
        WorkUnavailableError, ReportError: the number of rows cannot be estimated.
        BusyError, PausedError, QuotaError, RefusedError: the run cannot be started.
    """
    api, max_rows = access.caller.api, access.definition.limits.rows
    newest = await find_newest_run(api, report_request)
    if newest and await will_publish(api, access.definition.name, newest):
        return RequestedRun(run_id=str(newest["dag_run_id"]))
    unchanged = await find_unchanged_run(access, report_request, newest=newest, resources=resources, store=store)
    if unchanged and (max_rows is None or unchanged.manifest.rows <= max_rows):
        return RequestedRun(run_id=unchanged.run_id, unchanged=unchanged)
    if max_rows is not None:
        # The form may concurrently request an estimate under the plain user ID. Neither may supersede the other.
        user = f"run:{access.caller.user.get_id()}"
        work = _estimation(access, report_request, resources=resources, store=store)
        expected = await resources.estimates.run(user, work, supersedes=False)
        if expected.rows > max_rows:
            about = "" if expected.is_exact else "about "
            raise RangeError(
                f"This range has {about}{expected.rows:,} rows; the limit is {max_rows:,}. Choose fewer days.",
                report=access.definition.name,
            )
    user_name = access.caller.user.get_name()
    locks = resources.user_locks
    run_id, started = await find_or_start_run(api, report_request, user=user_name, locks=locks, earlier=newest)
    return RequestedRun(run_id=run_id, started=started)

"""Handles report requests. Identical requests share a run, even if different users send them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

from quire.airflow_api.client import AirflowApi, RefusedError
from quire.airflow_dag.xcom import PUBLISH
from quire.date_range import Grain, complete_window, zone
from quire.errors import ParameterError, TerminalError, TransientError
from quire.portal.views import PresetView
from quire.record_types.serialization import digest
from quire.report.definition import ReportDefinition
from quire.report.definition.limits import RequestLimits
from quire.report.definition.workbook_options import FILE_FORMATS
from quire.report.request import RunRequest, ensure_within_limits, request_from_conf, request_from_dates
from quire.settings import max_active_runs

ACTIVE = {"queued", "running"}  # among Airflow's run states
OVER = {"success", "failed", "skipped", "upstream_failed", "removed"}  # among Airflow's task states
ATTEMPTS = 10
RUN_ID_PREFIX = "ask__"
FORBIDDEN = 403
UserLocks = WeakValueDictionary[str, asyncio.Lock]
_NUMBERED_RUN_ID = re.compile(r"ask__[0-9a-f]+__([0-9]{1,9})")


class PausedError(TerminalError):
    """The report's DAG is paused, so its runs would not start."""


class BusyError(TransientError):
    """Concurrent identical requests keep starting and finishing runs."""


class QuotaError(TransientError):
    """The caller has reached the limit for active runs or for concurrent downloads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRequest:
    """A validated request for a report.

    Args:
        definition: the report.
        request: date range, parameters (including defaults), formats, and whether to ignore cached partitions.
    """

    definition: ReportDefinition
    request: RunRequest

    @property
    def prefix(self) -> str:
        """The ID prefix for all runs that serve this request."""
        request = self.request
        parts = [self.definition.model_dump(mode="json"), request.start, request.end, request.parameters, self.formats]
        return f"{RUN_ID_PREFIX}{digest(*parts, *self._flags)}__"

    @property
    def _flags(self) -> list[str]:
        return [name for name in ("force", "fan_out") if getattr(self.request, name)]

    @property
    def formats(self) -> list[str]:
        """The file formats to write."""
        return list(self.definition.file_formats(self.request.formats))

    @property
    def conf(self) -> dict[str, Any]:
        """The Airflow run's conf, which the plan stage parses."""
        request = self.request
        return {
            "start": request.start.isoformat(),
            "end": request.end.isoformat(),
            "formats": self.formats,
            **dict.fromkeys(self._flags, True),
            **request.parameters,
        }


def parse_request(
    definition: ReportDefinition,
    *,
    start: str,
    end: str,
    parameters: Mapping[str, object],
    formats: Sequence[str] | None = None,
    force: bool = False,
    fan_out: bool = False,
    limits: RequestLimits | None = None,
) -> ReportRequest:
    """Validates a request without connecting to the source.

    Args:
        definition: the report.
        start: first day.
        end: last day.
        parameters: parameter values by name, as JSON values or strings.
        formats: the file formats; if None, the definition determines them.
        force: whether to ignore cached partitions.
        fan_out: whether to run each stage as a separate task, however small the run is.
        limits: the request limits; if None, the report's reader limits apply.

    Raises:
        RangeError: a date is invalid, start is after end, or the range exceeds the limit.
        ParameterError: a parameter or a format is unknown, missing or not allowed.
    """
    if formats is not None:
        _ensure_offered(definition, formats)
    request = request_from_dates(
        definition,
        start=start,
        end=end,
        parameters=parameters,
        formats=formats,
        force=force,
        fan_out=fan_out,
        run_id="portal",
    )
    request.date_range.ensure_partitionable(definition.partition)
    ensure_within_limits(definition, request.date_range, limits=limits or definition.reader_limits)
    return ReportRequest(definition=definition, request=request)


def _ensure_offered(definition: ReportDefinition, formats: Sequence[str]) -> None:
    offered = definition.workbook.reader_formats
    if not formats:
        raise ParameterError(f"Choose at least one format: {', '.join(offered)}.", report=definition.name)
    for name in formats:
        if name in FILE_FORMATS and name not in offered:
            raise ParameterError(
                f"This report is not available as {name}. Choose {' or '.join(offered)}.", report=definition.name
            )


async def find_or_start_run(
    api: AirflowApi,
    report_request: ReportRequest,
    *,
    user: str,
    locks: UserLocks,
    earlier: Mapping[str, Any] | None = None,
) -> tuple[str, bool]:
    """Returns the ID of the run that serves a request, and whether this call started that run.

    If the newest run for the request is active, that run serves the request; otherwise, a new run is started. Because
    run IDs are unique in Airflow, only one of several concurrent callers can start the new run; the others search
    again. To serve the request, a run must also have the same conf, because users who start runs in Airflow can choose
    any run ID.

    Args:
        api: Airflow API client that acts on behalf of the user.
        report_request: the request.
        user: the user's name.
        earlier: the newest run for the request when it was received. A later run has read its rows since then, so it
            serves the request even if it has been published in the meantime.
        locks: a lock for each user, so that a user's runs are counted and started one at a time.

    Raises:
        BusyError: several attempts neither found nor started a run.
        PausedError: the report's DAG is paused.
        QuotaError: the user has reached the limit for active runs.
        RefusedError: Airflow rejected the run.
    """
    report = report_request.definition.name
    for _ in range(ATTEMPTS):
        async with locks.setdefault(user, asyncio.Lock()):
            newest, next_run_id = await _find_newest_run(api, report_request)
            if newest and await will_publish(api, report, newest):
                return str(newest["dag_run_id"]), False
            if newest and _run_number(newest) > _run_number(earlier) and await _has_published(api, report, newest):
                return str(newest["dag_run_id"]), False
            if (await api.dag(report))["is_paused"]:
                raise PausedError(
                    f"Report {report} is paused in Airflow. Ask your Airflow administrator to unpause it."
                )
            await _ensure_quota(api, report, user)
            if await api.trigger(report, next_run_id, report_request.conf):
                return next_run_id, True
    raise BusyError("Too many identical requests. Try again.")


async def _ensure_quota(api: AirflowApi, report: str, user: str) -> None:
    max_runs = max_active_runs()
    try:
        active = await api.active_runs("~", user=user, prefix=RUN_ID_PREFIX)
    except RefusedError as error:
        if error.status != FORBIDDEN:
            raise
        # the user is not allowed to list runs across all reports
        active = await api.active_runs(report, user=user, prefix=RUN_ID_PREFIX)
    if len(active) >= max_runs:
        runs = "run" if len(active) == 1 else "runs"
        raise QuotaError(
            f"You have {len(active)} active {runs}; the limit is {max_runs}. Wait for a run to finish, or cancel one."
        )


async def will_publish(api: AirflowApi, report: str, run: Mapping[str, Any]) -> bool:
    """Returns whether a run may still publish its files. After the publish task, only notifications remain."""
    return run["state"] in ACTIVE and await api.task_state(report, run["dag_run_id"], PUBLISH) not in OVER


async def _has_published(api: AirflowApi, report: str, run: Mapping[str, Any]) -> bool:
    if run["state"] not in ACTIVE:
        return bool(run["state"] == "success")
    return await api.task_state(report, run["dag_run_id"], PUBLISH) in ("success", "skipped")


async def find_newest_run(api: AirflowApi, report_request: ReportRequest) -> dict[str, Any] | None:
    """Returns the newest run for a request, or None if there is none."""
    return (await _find_newest_run(api, report_request))[0]


async def _find_newest_run(api: AirflowApi, report_request: ReportRequest) -> tuple[dict[str, Any] | None, str]:
    """Returns the newest run for a request, and the ID for the next run."""
    runs = await api.runs_named(report_request.definition.name, report_request.prefix)
    existing_ids, conf = {run["dag_run_id"] for run in runs}, _comparable(report_request.conf)
    newest_first = sorted(runs, key=_run_number, reverse=True)
    newest = next((run for run in newest_first if _comparable(run["conf"]) == conf), None)
    numbers = count(_run_number(newest) + 1)
    return newest, next(
        run_id for number in numbers if (run_id := f"{report_request.prefix}{number}") not in existing_ids
    )


def _run_number(run: Mapping[str, Any] | None) -> int:
    match = _NUMBERED_RUN_ID.fullmatch(run["dag_run_id"]) if run else None
    return int(match[1]) if match else 0


def _comparable(value: Any) -> Any:
    """Makes JSON values comparable as they are in Airflow's database, where true differs from 1, but 5 equals 5.0."""
    if isinstance(value, Mapping):
        return {name: _comparable(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_comparable(item) for item in value]
    return (bool, value) if isinstance(value, bool) else value


def parse_run_conf(definition: ReportDefinition, run: Mapping[str, Any]) -> RunRequest:
    """Returns the request behind an existing run, which may be scheduled. Ignores the definition's current limits.

    Raises:
        RangeError, ParameterError: the run's conf does not match the definition.
    """
    run_after = datetime.fromisoformat(run["run_after"])
    return request_from_conf(definition, run["conf"] or {}, run_id=run["dag_run_id"], run_after=run_after, is_past=True)


def presets(definition: ReportDefinition, *, now: datetime | None = None) -> list[PresetView]:
    """Returns common date ranges, complete periods first. The report's time zone determines today's date."""
    now = now or datetime.now(UTC)
    views = []
    for grain in (Grain.DAY, Grain.WEEK, Grain.MONTH, Grain.QUARTER, Grain.YEAR):
        days = complete_window(1, grain, before=now, timezone=definition.timezone)
        title = "Yesterday" if grain is Grain.DAY else f"Last {grain}"
        views.append(PresetView(title=title, start=days.start, end=days.end))
    today = now.astimezone(zone(definition.timezone)).date()
    views.append(PresetView(title="Last 30 days", start=today - timedelta(days=30), end=today - timedelta(days=1)))
    views.append(PresetView(title="This month", start=today.replace(day=1), end=today))
    views.append(PresetView(title="This year", start=today.replace(month=1, day=1), end=today))
    return views

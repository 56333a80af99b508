"""One run per question: the same report, days, parameters and formats are asked for once, however many ask."""

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
from quire.errors import ParameterError
from quire.portal.views import PresetView
from quire.records.serialization import digest
from quire.report.definition import ReportDefinition
from quire.report.definition.limits import RequestLimits
from quire.report.definition.workbook import FILE_FORMATS
from quire.report.request import RunRequest, ensure_within_limits, request_from_conf, request_from_dates
from quire.settings import max_active_runs

ACTIVE = {"queued", "running"}  # of Airflow's four states of a run
OVER = {"success", "failed", "skipped", "upstream_failed", "removed"}  # of its states of a task
ATTEMPTS = 10
ASKED = "ask__"  # what the ids of the portal's runs begin with
FORBIDDEN = 403
_TRIGGERING: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by user
_NUMBERED = re.compile(r"ask__[0-9a-f]+__([0-9]{1,9})")


class PausedError(Exception):
    """Runs of the report would wait until somebody lets them."""


class BusyError(Exception):
    """Others keep starting and ending runs of the same question."""


class QuotaError(Exception):
    """The caller has as many active runs, or as many downloads of zips, as one may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What somebody asks a report.

    Args:
        definition: the report.
        request: days, parameters with their defaults, formats, and whether stored rows are passed over; all checked.
    """

    definition: ReportDefinition
    request: RunRequest

    @property
    def prefix(self) -> str:
        """What the ids of all runs of this question begin with."""
        request = self.request
        parts = [self.definition.model_dump(mode="json"), request.start, request.end, request.parameters, self.formats]
        found = digest(*parts, *(["force"] if request.force else []))
        return f"{ASKED}{found}__"

    @property
    def formats(self) -> list[str]:
        """The formats of its files."""
        return list(self.definition.file_formats(self.request.formats))

    @property
    def conf(self) -> dict[str, Any]:
        """What Airflow hands to plan."""
        request = self.request
        return {
            "start": request.start.isoformat(),
            "end": request.end.isoformat(),
            "formats": self.formats,
            **({"force": True} if request.force else {}),
            **request.parameters,
        }


def read_question(
    definition: ReportDefinition,
    *,
    start: str,
    end: str,
    parameters: Mapping[str, object],
    formats: Sequence[str] | None = None,
    force: bool = False,
    limits: RequestLimits | None = None,
) -> Question:
    """Returns what was asked, checked, before anything is asked of the source.

    Args:
        definition: the report.
        start: first day.
        end: last day.
        parameters: by name, as JSON values or text.
        formats: of the files; None for the definition's.
        force: whether stored rows are passed over.
        limits: of the request; None for those of the report's readers.

    Raises:
        RangeError: a date does not parse, start is after end, or the range is longer than readers may request.
        ParameterError: a parameter or format is unknown, missing or not allowed.
    """
    if formats is not None:
        _ensure_offered(definition, formats)
    request = request_from_dates(
        definition, start=start, end=end, parameters=parameters, formats=formats, force=force, run_id="asked"
    )
    request.date_range.ensure_partitionable(definition.partition)
    ensure_within_limits(definition, request.date_range, limits=limits or definition.reader_limits)
    return Question(definition=definition, request=request)


def _ensure_offered(definition: ReportDefinition, formats: Sequence[str]) -> None:
    offered = definition.workbook.reader_formats
    if not formats:
        raise ParameterError(f"Choose at least one format: {', '.join(offered)}", report=definition.name)
    for name in formats:
        if name in FILE_FORMATS and name not in offered:
            raise ParameterError(f"This report offers no {name}: choose {' or '.join(offered)}", report=definition.name)


async def ask(api: AirflowApi, question: Question, *, user: str) -> tuple[str, bool]:
    """Returns the run that answers a question, and whether it was started for it.

    The newest run of the question is the answer while it is at work; else the next one is started. Of several who
    start it at once one succeeds, since Airflow has no two runs of one id; the others read again. A run counts only
    if its conf is the question's: anybody who may start runs can start one with such an id and another conf.

    Raises:
        BusyError: after some attempts there still was none.
        PausedError: the report's DAG is paused.
        QuotaError: the user has as many active runs as one may have.
        RefusedError: Airflow does not start it.
    """
    report = question.definition.name
    for _ in range(ATTEMPTS):
        last, run_id = await _newest(api, question)
        if last and await _is_awaited(api, report, last):
            return str(last["dag_run_id"]), False
        if (await api.dag(report))["is_paused"]:
            raise PausedError(
                f"{report} is paused in Airflow, where its runs would wait: whoever runs it can go on with it"
            )
        async with _TRIGGERING.setdefault(user, asyncio.Lock()):
            if await _newest(api, question) != (last, run_id):
                continue
            await _ensure_quota(api, report, user)
            if await api.trigger(report, run_id, question.conf):
                return run_id, True
    raise BusyError(f"{report} is being asked the same by many others: try again")


async def _ensure_quota(api: AirflowApi, report: str, user: str) -> None:
    most = max_active_runs()
    try:
        active = await api.active_runs("~", user=user, prefix=ASKED)
    except RefusedError as error:
        if error.status != FORBIDDEN:
            raise
        active = await api.active_runs(report, user=user, prefix=ASKED)  # who may not list the runs of all reports
    if len(active) >= most:
        runs = "run" if len(active) == 1 else "runs"
        raise QuotaError(
            f"You have {len(active)} active {runs}, the limit is {most}: wait for one to end, or cancel one"
        )


async def _is_awaited(api: AirflowApi, report: str, run: Mapping[str, Any]) -> bool:
    """Whether one of Airflow's runs will still answer: not where publish is over, whoever is still to be told of it."""
    return run["state"] in ACTIVE and await api.task_state(report, run["dag_run_id"], PUBLISH) not in OVER


async def _newest(api: AirflowApi, question: Question) -> tuple[dict[str, Any] | None, str]:
    """Returns the newest run of a question, and the id of the next one."""
    runs = await api.runs_named(question.definition.name, question.prefix)
    taken, conf = {run["dag_run_id"] for run in runs}, _exact(question.conf)
    from_newest = sorted(runs, key=_number, reverse=True)
    newest = next((run for run in from_newest if _exact(run["conf"]) == conf), None)
    numbers = count(_number(newest) + 1)
    return newest, next(run_id for number in numbers if (run_id := f"{question.prefix}{number}") not in taken)


def _number(run: Mapping[str, Any] | None) -> int:
    found = _NUMBERED.fullmatch(run["dag_run_id"]) if run else None
    return int(found[1]) if found else 0


def _exact(value: Any) -> Any:
    """Returns a JSON value for comparison: True is no 1, whereas 5 and 5.0 are one number to Airflow's database."""
    if isinstance(value, Mapping):
        return {name: _exact(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_exact(item) for item in value]
    return (bool, value) if isinstance(value, bool) else value


def asked_of(definition: ReportDefinition, run: Mapping[str, Any]) -> RunRequest:
    """Returns what one of Airflow's runs was asked for, scheduled ones too, whatever the definition limits by now.

    Raises:
        RangeError, ParameterError: it was started with something that the report does not take.
    """
    run_after = datetime.fromisoformat(run["run_after"])
    return request_from_conf(definition, run["conf"] or {}, run_id=run["dag_run_id"], run_after=run_after, is_past=True)


def presets(definition: ReportDefinition, *, now: datetime | None = None) -> list[PresetView]:
    """Returns the usual ranges as of today in the report's time zone, the last complete ones first."""
    now = now or datetime.now(UTC)
    found = []
    for grain in (Grain.DAY, Grain.WEEK, Grain.MONTH, Grain.QUARTER, Grain.YEAR):
        days = complete_window(1, grain, before=now, timezone=definition.timezone)
        title = "Yesterday" if grain is Grain.DAY else f"Last {grain}"
        found.append(PresetView(title=title, start=days.start, end=days.end))
    today = now.astimezone(zone(definition.timezone)).date()
    found.append(PresetView(title="Last 30 days", start=today - timedelta(days=30), end=today - timedelta(days=1)))
    found.append(PresetView(title="This month", start=today.replace(day=1), end=today))
    found.append(PresetView(title="This year", start=today.replace(month=1, day=1), end=today))
    return found

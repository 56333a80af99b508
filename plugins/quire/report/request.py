"""What somebody asked for, as a checked RunRequest: dates, parameters, and the window where no dates were given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from quire.date_range import DateRange, complete_window
from quire.errors import ParameterError, RangeError, short_repr
from quire.report.definition import ReportDefinition
from quire.report.definition.limits import RequestLimits
from quire.report.definition.name_checks import suggestion
from quire.report.definition.report import RESERVED_PARAMETERS
from quire.report.definition.workbook import FILE_FORMATS, FileFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What somebody asked for, fixed once at the start of plan.

    ``parameters`` are the definition's own, checked, as JSON values. ``run_id`` names this run among all (Airflow's
    run id, or a uuid). ``made_at`` is the ISO 8601 instant that the workbooks tell. ``formats`` are those of the files;
    none means the definition's.
    """

    report: str
    start: date
    end: date
    timezone: str
    parameters: dict[str, Any] = field(default_factory=dict)
    formats: tuple[FileFormat, ...] = ()
    force: bool = False
    run_id: str
    made_at: str

    @property
    def date_range(self) -> DateRange:
        """The inclusive dates that the report covers."""
        return DateRange(start=self.start, end=self.end, timezone=self.timezone)


def request_from_dates(
    definition: ReportDefinition,
    *,
    start: str,
    end: str,
    parameters: Mapping[str, object],
    run_id: str,
    force: bool = False,
    formats: object = None,
) -> RunRequest:
    """Returns the request for inclusive dates written as ``YYYY-MM-DD``.

    Args:
        definition: the report.
        start: first day.
        end: last day.
        parameters: by name, as JSON values or text.
        run_id: names this run among all.
        force: whether stored rows are passed over.
        formats: of the files, a list; None or nothing for the definition's.

    Raises:
        RangeError: a date does not parse, start is after end, or the range is longer than the definition allows.
        ParameterError: a parameter or format is unknown, missing or not allowed.
    """
    days = _parse_range(definition, start, end)
    ensure_within_limits(definition, days)
    return _request(definition, days, parameters=parameters, run_id=run_id, force=force, formats=formats)


def request_from_conf(
    definition: ReportDefinition,
    conf: Mapping[str, object],
    *,
    run_id: str,
    run_after: datetime,
    is_past: bool = False,
) -> RunRequest:
    """Returns the request of an Airflow run: its params, where both dates empty mean the definition's window.

    Args:
        definition: the report.
        conf: ``start``, ``end``, ``force``, ``formats`` and the definition's own parameters.
        run_id: Airflow's.
        run_after: the aware instant that the window ends before.
        is_past: whether the run was requested before, maybe under an earlier definition: then the definition's limits
            and the formats that it offers to readers are not checked.

    Raises:
        ParameterError: a key is unknown (Airflow itself would ignore it), or one date is given without the other.
        RangeError: a date does not parse, start is after end, or the range is longer than the definition allows.
    """
    known = (*RESERVED_PARAMETERS, *definition.parameters)
    for name in conf:
        if name not in known:
            likely = suggestion(name, known) or f"; known are {', '.join(known)}"
            raise ParameterError(f"unknown parameter {short_repr(name)}{likely}", report=definition.name)
    start, end = str(conf.get("start") or ""), str(conf.get("end") or "")
    if bool(start) != bool(end):
        raise ParameterError("give start and end, or neither for the last complete window", report=definition.name)
    force = conf.get("force") or False
    if not isinstance(force, bool):
        raise ParameterError(f"force is {short_repr(force)}: it must be true or false", report=definition.name)
    parameters = {name: conf[name] for name in definition.parameters if name in conf}
    days = _parse_range(definition, start, end) if start else last_window(definition, before=run_after)
    if not is_past:
        _ensure_reader_formats(definition, conf.get("formats"))
        ensure_within_limits(definition, days)
    return _request(definition, days, parameters=parameters, run_id=run_id, force=force, formats=conf.get("formats"))


def ensure_within_limits(definition: ReportDefinition, days: DateRange, *, limits: RequestLimits | None = None) -> None:
    """Checks that a date range is no longer than ``limits.days`` of the definition, or than that of other limits.

    Raises:
        RangeError: it is longer.
    """
    limit = (limits or definition.limits).days
    if limit is not None and days.day_count > limit:
        unit = "day" if limit == 1 else "days"
        raise RangeError(
            f"At most {limit:,} {unit} of this report at once; this is {days.day_count:,}", report=definition.name
        )


def last_window(definition: ReportDefinition, *, before: datetime) -> DateRange:
    """Returns the definition's window of whole periods, the last one that has ended at an aware instant."""
    return complete_window(
        definition.window_count, definition.window_grain, before=before, timezone=definition.timezone
    )


def _parse_range(definition: ReportDefinition, start: str, end: str) -> DateRange:
    try:
        return DateRange.parse(start, end, definition.timezone)
    except RangeError as error:
        raise RangeError(error.message, report=definition.name) from error


def _request(
    definition: ReportDefinition,
    days: DateRange,
    *,
    parameters: Mapping[str, object],
    run_id: str,
    force: bool,
    formats: object,
) -> RunRequest:
    return RunRequest(
        report=definition.name,
        start=days.start,
        end=days.end,
        timezone=definition.timezone,
        parameters=definition.bind_parameters(parameters),
        formats=_read_formats(definition, formats),
        force=force,
        run_id=run_id,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _ensure_reader_formats(definition: ReportDefinition, formats: object) -> None:
    """Refuses a format that the definition keeps from readers: whoever may start a run of Airflow's is one."""
    offered = definition.workbook.reader_formats
    for name in formats if isinstance(formats, list | tuple) else [formats]:
        if name in FILE_FORMATS and name not in offered:
            raise ParameterError(f"this report offers {', '.join(offered)}, not {name}", report=definition.name)


def _read_formats(definition: ReportDefinition, given: object) -> tuple[FileFormat, ...]:
    """Returns the formats that were asked for, in one order; none where they are the definition's own."""
    if given is None:
        return ()
    asked = given if isinstance(given, list | tuple) else [given]
    for name in asked:
        if name not in FILE_FORMATS:
            raise ParameterError(
                f"format {short_repr(name)} is not one of {', '.join(FILE_FORMATS)}", report=definition.name
            )
    found = tuple(name for name in FILE_FORMATS if name in asked)
    return () if set(found) == set(definition.workbook.formats) else found

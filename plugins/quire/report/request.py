"""Validates run requests: the date range or default window, the parameters and the file formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from quire.date_range import DateRange, complete_window
from quire.errors import ParameterError, RangeError, short_repr
from quire.report.definition import ReportDefinition
from quire.report.definition.limits import RequestLimits
from quire.report.definition.name_checks import suggestion
from quire.report.definition.report import RESERVED_PARAMETERS
from quire.report.definition.workbook_options import FILE_FORMATS, FileFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A validated request for a run. Quire creates it before the plan stage.

    Args:
        parameters: the validated parameters as JSON values.
        formats: the file formats; empty for the definition's formats.
        force: whether to ignore cached partitions.
        fan_out: whether Airflow runs each stage as a separate task, however small the run is.
        run_id: an ID unique among all runs: Airflow's run ID or a UUID.
        made_at: the time of the request in ISO 8601, as shown in the workbooks.
    """

    report: str
    start: date
    end: date
    timezone: str
    parameters: dict[str, Any] = field(default_factory=dict)
    formats: tuple[FileFormat, ...] = ()
    force: bool = False
    fan_out: bool = False
    run_id: str
    made_at: str

    @property
    def date_range(self) -> DateRange:
        """The requested date range."""
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
    fan_out: bool = False,
) -> RunRequest:
    """Creates a request from inclusive dates written as ``YYYY-MM-DD``.

    Args:
        definition: the report.
        start: the first day.
        end: the last day.
        parameters: values by name, as JSON values or strings.
        run_id: an ID unique among all runs.
        force: whether to ignore cached partitions.
        formats: a list of file formats; None or empty for the definition's formats.
        fan_out: whether Airflow runs each stage as a separate task.

    Raises:
        RangeError: a date cannot be parsed, start is after end, or the range is longer than the definition allows.
        ParameterError: a parameter is unknown or missing, or a value or file format is not allowed.
    """
    date_range = _parse_range(definition, start, end)
    ensure_within_limits(definition, date_range)
    request = _request(definition, date_range, parameters=parameters, run_id=run_id, formats=formats)
    return replace(request, force=force, fan_out=fan_out)


def request_from_conf(
    definition: ReportDefinition,
    conf: Mapping[str, object],
    *,
    run_id: str,
    run_after: datetime,
    made_at: datetime | None = None,
    is_past: bool = False,
) -> RunRequest:
    """Creates a request from an Airflow run's conf; if the conf has no dates, uses the definition's default window.

    Args:
        definition: the report.
        conf: ``start``, ``end``, ``force``, ``formats``, ``fan_out`` and the definition's parameters; all are optional.
        run_id: Airflow's run ID.
        run_after: a timezone-aware time; the default window ends before it.
        made_at: the time of the request, which is the same for every attempt of a task; defaults to now.
        is_past: whether the run was requested earlier, possibly under a different version of the definition, in which
            case the current limits and reader formats are not checked.

    Raises:
        ParameterError: a key is unknown (Airflow itself ignores unknown keys), only one date is given, or a value or
            file format is not allowed.
        RangeError: a date cannot be parsed, start is after end, or the range is longer than the definition allows.
    """
    names = (*RESERVED_PARAMETERS, *definition.parameters)
    for name in conf:
        if name not in names:
            hint = suggestion(name, names) or f"; valid parameters: {', '.join(names)}"
            raise ParameterError(f"unknown parameter {short_repr(name)}{hint}", report=definition.name)
    start, end = str(conf.get("start") or ""), str(conf.get("end") or "")
    if bool(start) != bool(end):
        raise ParameterError(
            "set both start and end, or omit both to use the last complete window", report=definition.name
        )
    force, fan_out = (_parse_flag(definition, name, conf.get(name) or False) for name in ("force", "fan_out"))
    parameters = {name: conf[name] for name in definition.parameters if name in conf}
    date_range = _parse_range(definition, start, end) if start else last_window(definition, before=run_after)
    if not is_past:
        _ensure_reader_formats(definition, conf.get("formats"))
        ensure_within_limits(definition, date_range)
    request = _request(definition, date_range, parameters=parameters, run_id=run_id, formats=conf.get("formats"))
    request = replace(request, force=force, fan_out=fan_out)
    return replace(request, made_at=made_at.astimezone(UTC).isoformat(timespec="seconds")) if made_at else request


def _parse_flag(definition: ReportDefinition, name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ParameterError(f"{name} is {short_repr(value)}: must be true or false", report=definition.name)


def ensure_within_limits(
    definition: ReportDefinition, date_range: DateRange, *, limits: RequestLimits | None = None
) -> None:
    """Checks that a date range is not longer than ``limits.days``; the definition's limits are the default.

    Raises:
        RangeError: the range is too long.
    """
    limit = (limits or definition.limits).days
    if limit is not None and date_range.day_count > limit:
        raise RangeError(
            f"The date range has {date_range.day_count:,} days; this report allows at most {limit:,}",
            report=definition.name,
        )


def last_window(definition: ReportDefinition, *, before: datetime) -> DateRange:
    """Returns the definition's last complete window before a timezone-aware time."""
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
    date_range: DateRange,
    *,
    parameters: Mapping[str, object],
    run_id: str,
    formats: object,
) -> RunRequest:
    return RunRequest(
        report=definition.name,
        start=date_range.start,
        end=date_range.end,
        timezone=definition.timezone,
        parameters=definition.bind_parameters(parameters),
        formats=_parse_formats(definition, formats),
        run_id=run_id,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _ensure_reader_formats(definition: ReportDefinition, formats: object) -> None:
    """Checks that the definition offers the formats to readers. Everyone who can trigger the DAG is a reader."""
    offered = definition.workbook.reader_formats
    for name in formats if isinstance(formats, list | tuple) else [formats]:
        if name in FILE_FORMATS and name not in offered:
            raise ParameterError(
                f"format {name} is not available for this report: use {', '.join(offered)}", report=definition.name
            )


def _parse_formats(definition: ReportDefinition, value: object) -> tuple[FileFormat, ...]:
    """Returns the requested formats in canonical order, or an empty tuple if they are the definition's own formats."""
    if value is None:
        return ()
    names = value if isinstance(value, list | tuple) else [value]
    for name in names:
        if name not in FILE_FORMATS:
            raise ParameterError(
                f"format {short_repr(name)} is not one of {', '.join(FILE_FORMATS)}", report=definition.name
            )
    formats = tuple(name for name in FILE_FORMATS if name in names)
    return () if set(formats) == set(definition.workbook.formats) else formats

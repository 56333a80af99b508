"""Validates run requests: date range or default window, parameters, file formats."""

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
    """A validated request for a run, created before the plan stage.

    Args:
        parameters: validated JSON values.
        formats: file formats; empty for the definition's formats.
        force: whether to ignore cached partitions.
        run_id: an ID that is unique across all runs: Airflow's run ID, or a UUID.
        made_at: the time of the request in ISO 8601, shown in the workbooks.
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
) -> RunRequest:
    """Creates a request from inclusive dates written as ``YYYY-MM-DD``.

    Args:
        definition: the report.
        start: first day.
        end: last day.
        parameters: values by name, as JSON values or strings.
        run_id: an ID that is unique across all runs.
        force: whether to ignore cached partitions.
        formats: list of file formats; None or empty for the definition's formats.

    Raises:
        RangeError: a date cannot be parsed, start is after end, or the definition does not allow a range this long.
        ParameterError: a parameter or format is unknown, missing or not allowed.
    """
    date_range = _parse_range(definition, start, end)
    ensure_within_limits(definition, date_range)
    return _request(definition, date_range, parameters=parameters, run_id=run_id, force=force, formats=formats)


def request_from_conf(
    definition: ReportDefinition,
    conf: Mapping[str, object],
    *,
    run_id: str,
    run_after: datetime,
    is_past: bool = False,
) -> RunRequest:
    """Creates a request from an Airflow run's conf; without dates, the request covers the definition's window.

    Args:
        definition: the report.
        conf: ``start``, ``end``, ``force``, ``formats`` and the definition's parameters.
        run_id: Airflow's run ID.
        run_after: a timezone-aware time before which the window ends.
        is_past: whether the run was requested earlier, possibly under another version of the definition. If so, the
            current limits and reader formats are not checked.

    Raises:
        ParameterError: a key is unknown (Airflow ignores unknown keys), or only one date is given.
        RangeError: a date cannot be parsed, start is after end, or the definition does not allow a range this long.
    """
    names = (*RESERVED_PARAMETERS, *definition.parameters)
    for name in conf:
        if name not in names:
            hint = suggestion(name, names) or f"; valid parameters: {', '.join(names)}"
            raise ParameterError(f"unknown parameter {short_repr(name)}{hint}", report=definition.name)
    start, end = str(conf.get("start") or ""), str(conf.get("end") or "")
    if bool(start) != bool(end):
        raise ParameterError(
            "set both start and end, or neither to use the last complete window", report=definition.name
        )
    force = conf.get("force") or False
    if not isinstance(force, bool):
        raise ParameterError(f"force is {short_repr(force)}: must be true or false", report=definition.name)
    parameters = {name: conf[name] for name in definition.parameters if name in conf}
    date_range = _parse_range(definition, start, end) if start else last_window(definition, before=run_after)
    if not is_past:
        _ensure_reader_formats(definition, conf.get("formats"))
        ensure_within_limits(definition, date_range)
    return _request(
        definition, date_range, parameters=parameters, run_id=run_id, force=force, formats=conf.get("formats")
    )


def ensure_within_limits(
    definition: ReportDefinition, date_range: DateRange, *, limits: RequestLimits | None = None
) -> None:
    """Checks that a date range does not exceed the ``days`` of the given limits, by default the definition's limits.

    Raises:
        RangeError: the range exceeds the limit.
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
    force: bool,
    formats: object,
) -> RunRequest:
    return RunRequest(
        report=definition.name,
        start=date_range.start,
        end=date_range.end,
        timezone=definition.timezone,
        parameters=definition.bind_parameters(parameters),
        formats=_parse_formats(definition, formats),
        force=force,
        run_id=run_id,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _ensure_reader_formats(definition: ReportDefinition, formats: object) -> None:
    """Checks that the definition offers the formats to readers; anyone who can trigger the DAG counts as a reader."""
    offered = definition.workbook.reader_formats
    for name in formats if isinstance(formats, list | tuple) else [formats]:
        if name in FILE_FORMATS and name not in offered:
            raise ParameterError(
                f"format {name} is not available for this report: use {', '.join(offered)}", report=definition.name
            )


def _parse_formats(definition: ReportDefinition, value: object) -> tuple[FileFormat, ...]:
    """Returns the requested formats in canonical order, or an empty tuple if they equal the definition's formats."""
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

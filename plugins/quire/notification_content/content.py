"""Builds the content of notifications. Links are permanent portal URLs; the portal checks access on every visit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quire.human_readable import format_count, format_parameter, format_period, format_size, truncate
from quire.portal_urls import archive_path, file_path, run_path
from quire.record_types.run_result import ResultFile, RunResult
from quire.report.definition import ReportDefinition, default_title
from quire.report.request import RunRequest

MAX_FILES = 10
MAX_WARNING_LINES = 5
MAX_LINE_LENGTH = 500  # for each warning, reason and parameter value


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationLink:
    """A link. ``url`` is None if Airflow's base URL is not configured."""

    label: str
    detail: str = ""
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A notification, independent of its format.

    Args:
        subject: one line that makes sense without the other fields.
        heading: the message title.
        failed: whether the run failed.
        facts: labels and their values.
        files: files to download.
        more: says how many more files there are; empty if all are listed.
        pages: links to the run page and to the zip of all files.
        warnings: the run's warnings.
    """

    subject: str
    heading: str
    failed: bool
    facts: tuple[tuple[str, str], ...]
    files: tuple[NotificationLink, ...] = ()
    more: str = ""
    pages: tuple[NotificationLink, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def page_url(self) -> str:
        """The run page's URL; empty if there is none."""
        return next((page.url for page in self.pages if page.url), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedTask:
    """A task that failed after all retries.

    Args:
        stage: the pipeline stage.
        reason: one line that contains no secrets; empty if the process ended without recording a reason.
    """

    stage: str
    reason: str = ""


def success_notification(
    definition: ReportDefinition,
    request: RunRequest,
    result: RunResult,
    *,
    totals: Sequence[tuple[str, str]] = (),
    run_id: str,
    base_url: str,
) -> Notification:
    """Returns the notification for a published run.

    Args:
        definition: the report.
        request: the request that the run served.
        result: the run's result.
        totals: each headline total's title and formatted value.
        run_id: the Airflow run ID.
        base_url: Airflow's public URL; if empty, the notification has no links.
    """
    count, size = len(result.files), format_size(sum(file.bytes for file in result.files))
    facts = [
        *_request_facts(definition, request),
        ("Rows", format_count(result.rows)),
        *((title, _limit_line(value)) for title, value in totals),
        ("Files", f"{count} ({size})"),
    ]
    if result.reused:
        facts.append(("Changes", "none since an earlier run"))
    files = tuple(
        NotificationLink(
            label=file.name,
            detail=_file_detail(file),
            url=_url(base_url, file_path(definition.name, result.run, file.name)),
        )
        for file in result.files[:MAX_FILES]
    )
    archive = NotificationLink(
        label="Download all files (zip)", url=_url(base_url, archive_path(definition.name, result.run))
    )
    return Notification(
        subject=f"{definition.title}, {_date_range(request)}: ready",
        heading=f"{definition.title} is ready",
        failed=False,
        facts=tuple(facts),
        files=files,
        more=f"and {format_count(count - MAX_FILES, 'more file')}" if count > MAX_FILES else "",
        pages=(_run_page(definition.name, run_id, base_url), *([archive] if count > 1 else [])),
        warnings=_warning_lines(result.warnings),
    )


def failure_notification(
    definition: ReportDefinition,
    request: RunRequest | None,
    failed: Sequence[FailedTask],
    *,
    run_id: str,
    base_url: str,
) -> Notification:
    """Returns the notification for a failed run.

    Args:
        definition: the report.
        request: the request that the run served; None if it was invalid.
        failed: the failed tasks. The notification describes one task and counts the rest.
        run_id: the Airflow run ID.
        base_url: Airflow's public URL; if empty, the notification has no links.
    """
    facts = _request_facts(definition, request) if request else []
    date_range = f", {_date_range(request)}" if request else ""
    return Notification(
        subject=f"{definition.title}{date_range}: failed",
        heading=f"{definition.title} failed",
        failed=True,
        facts=(*facts, *_failure_facts(failed)),
        pages=(_run_page(definition.name, run_id, base_url),),
    )


def _file_detail(file: ResultFile) -> str:
    if not file.rows:
        return format_size(file.bytes)
    period = format_period(file.earliest, file.latest)
    return f"{format_count(file.rows, 'row')}, {format_size(file.bytes)}" + (f", {period}" if period else "")


def _failure_facts(failed: Sequence[FailedTask]) -> list[tuple[str, str]]:
    if not failed:
        return [("Reason", "The run was stopped before it finished.")]
    first = next((task for task in failed if task.reason), failed[0])
    others = f" (and {format_count(len(failed) - 1, 'more task')})" if len(failed) > 1 else ""
    reason = first.reason or "The task was killed or ran out of memory. See Airflow's task logs."
    return [("Failed stage", f"{first.stage}{others}"), ("Reason", _limit_line(reason))]


def _request_facts(definition: ReportDefinition, request: RunRequest) -> list[tuple[str, str]]:
    parameters = [
        (_parameter_title(definition, name), _limit_line(format_parameter(value)))
        for name, value in request.parameters.items()
        if value is not None
    ]
    return [("Date range", _date_range(request)), ("Time zone", request.timezone), *parameters]


def _date_range(request: RunRequest) -> str:
    return f"{request.start} to {request.end}" if request.start != request.end else f"{request.start}"


def _parameter_title(definition: ReportDefinition, name: str) -> str:
    return definition.parameters[name].title if name in definition.parameters else default_title(name)


def _run_page(report: str, run_id: str, base_url: str) -> NotificationLink:
    return NotificationLink(label="View run", url=_url(base_url, run_path(report, run_id)))


def _url(base_url: str, path: str) -> str | None:
    return f"{base_url.rstrip('/')}{path}" if base_url else None


def _warning_lines(warnings: Sequence[str]) -> tuple[str, ...]:
    lines = tuple(_limit_line(warning) for warning in warnings[:MAX_WARNING_LINES])
    more = len(warnings) - MAX_WARNING_LINES
    return (*lines, f"{format_count(more, 'more warning')} on the run's page") if more > 0 else lines


def _limit_line(text: str) -> str:
    """Converts text to a single, truncated line, so that it cannot be mistaken for another part of the message."""
    return truncate(" ".join(text.split()), MAX_LINE_LENGTH)

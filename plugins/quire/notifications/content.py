"""What a notice says. Its links are the portal's, which stay: whoever follows one is checked anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quire.formatting import format_count, format_parameter, format_period, format_size
from quire.report.definition import ReportDefinition, default_title
from quire.report.request import RunRequest
from quire.urls import archive_path, file_path, run_path

MAX_FILES = 10
MAX_WARNINGS = 5
MAX_LINE_LENGTH = 500  # of a warning or a reason: a notice is short


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationLink:
    """A place to go to. ``address`` is None where Airflow does not know its own."""

    label: str
    detail: str = ""
    address: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What is told, before it is text or HTML.

    Args:
        subject: one line, which says it all where there is no room for more.
        heading: the same, above facts that tell the rest.
        failed: whether it is bad news.
        facts: label and value.
        files: to download.
        more: what else there is of them, in words.
        pages: the run's page, and all files in one.
        warnings: what to mind.
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
    def page(self) -> str:
        """The address of the run's page; nothing where it is not known."""
        return next((page.address for page in self.pages if page.address), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFile:
    """A published file."""

    name: str
    rows: int
    bytes: int
    earliest: str | None = None
    latest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What publish tells of its run. ``run`` is the run's key; ``reused``: it was published before."""

    run: str
    reused: bool
    rows: int
    files: tuple[RunFile, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedTask:
    """A task that failed for good.

    Args:
        stage: of the pipeline.
        reason: one line, without secrets; none where its process ended without a word.
    """

    stage: str
    reason: str = ""


def success_notification(
    definition: ReportDefinition,
    request: RunRequest,
    told: RunResult,
    *,
    totals: Sequence[tuple[str, str]] = (),
    run_id: str,
    base_url: str,
) -> Notification:
    """Returns what is told of a published run.

    Args:
        definition: the report.
        request: what was asked for.
        told: what came of it.
        totals: title and value of what its rows add up to.
        run_id: Airflow's.
        base_url: where Airflow's readers find it; empty where that is not known, and there are no links.
    """
    count, size = len(told.files), format_size(sum(file.bytes for file in told.files))
    facts = [
        ("Days", _days(request)),
        *_parameters(definition, request),
        ("Rows", f"{told.rows:,}"),
        *((title, _short(value)) for title, value in totals),
        ("Files", f"{count}, together {size}" if count > 1 else f"{count}, of {size}"),
    ]
    if told.reused:
        facts.append(("Changed", "nothing since these files were made"))
    files = tuple(
        NotificationLink(
            label=file.name,
            detail=_file_detail(file),
            address=_link(base_url, file_path(definition.name, told.run, file.name)),
        )
        for file in told.files[:MAX_FILES]
    )
    archive = NotificationLink(
        label="All files in one zip", address=_link(base_url, archive_path(definition.name, told.run))
    )
    return Notification(
        subject=f"{definition.title}, {request.start} to {request.end}: ready",
        heading=f"{definition.title} is ready",
        failed=False,
        facts=tuple(facts),
        files=files,
        more=f"and {count - MAX_FILES} more" if count > MAX_FILES else "",
        pages=(_run_page(definition.name, run_id, base_url), *([archive] if count > 1 else [])),
        warnings=_shortened(told.warnings),
    )


def failure_notification(
    definition: ReportDefinition,
    request: RunRequest | None,
    failed: Sequence[FailedTask],
    *,
    run_id: str,
    base_url: str,
) -> Notification:
    """Returns what is told of a failed run.

    Args:
        definition: the report.
        request: what was asked for, where that could be understood.
        failed: the tasks that failed: the first is told, the others are counted.
        run_id: Airflow's.
        base_url: where Airflow's readers find it, or nothing.
    """
    facts = [("Days", _days(request)), *_parameters(definition, request)] if request else []
    days = f", {request.start} to {request.end}" if request else ""
    return Notification(
        subject=f"{definition.title}{days}: failed",
        heading=f"{definition.title} could not be made",
        failed=True,
        facts=(*facts, *_causes(failed)),
        pages=(_run_page(definition.name, run_id, base_url),),
    )


def _file_detail(file: RunFile) -> str:
    if not file.rows:
        return format_size(file.bytes)
    period = format_period(file.earliest, file.latest)
    return f"{format_count(file.rows, 'row')}, {format_size(file.bytes)}" + (f", {period}" if period else "")


def _causes(failed: Sequence[FailedTask]) -> list[tuple[str, str]]:
    if not failed:
        return [("Reason", "it was ended before it was done")]
    first = next((task for task in failed if task.reason), failed[0])
    others = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    reason = first.reason or "its process ended without a word: killed, out of memory, or ended by somebody"
    return [("Stopped at", f"{first.stage}{others}"), ("Reason", _short(reason))]


def _days(request: RunRequest) -> str:
    return f"{request.start} to {request.end} ({request.timezone})"


def _parameters(definition: ReportDefinition, request: RunRequest) -> list[tuple[str, str]]:
    given = request.parameters.items()
    return [
        (_parameter_title(definition, name), _short(format_parameter(value)))
        for name, value in given
        if value is not None
    ]


def _parameter_title(definition: ReportDefinition, name: str) -> str:
    return definition.parameters[name].title if name in definition.parameters else default_title(name)


def _run_page(report: str, run_id: str, base_url: str) -> NotificationLink:
    return NotificationLink(label="The run's page", address=_link(base_url, run_path(report, run_id)))


def _link(base_url: str, path: str) -> str | None:
    return f"{base_url.rstrip('/')}{path}" if base_url else None


def _shortened(warnings: Sequence[str]) -> tuple[str, ...]:
    shown = tuple(_short(warning) for warning in warnings[:MAX_WARNINGS])
    left = len(warnings) - MAX_WARNINGS
    return (*shown, f"and {left} more, on the run's page") if left > 0 else shown


def _short(line: str) -> str:
    words = " ".join(line.split())
    return words if len(words) <= MAX_LINE_LENGTH else f"{words[: MAX_LINE_LENGTH - 1].rstrip()}…"

"""The records that the API returns and the pages show."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from quire.human_readable import format_count

RunState = Literal["waiting", "running", "done", "failed", "cancelled"]


class View(BaseModel):
    """A frozen record."""

    model_config = ConfigDict(frozen=True)


class ParameterView(View):
    """A report parameter."""

    name: str
    title: str
    description: str
    type: str
    required: bool
    default: Any = None
    enum: list[Any] | None = None
    minimum: float | None = None
    maximum: float | None = None


class BrokenReportView(View):
    """A report with an invalid definition."""

    name: str
    error: str


class PresetView(View):
    """A common date range, including its first and last day."""

    title: str
    start: date
    end: date


class LimitsView(View):
    """The limits on a request. Null means that there is no limit."""

    days: int | None = None
    rows: int | None = None

    @property
    def text(self) -> str:
        """A sentence that describes the limits; empty if there are none."""
        limits = [
            format_count(limit, noun) for limit, noun in ((self.days, "day"), (self.rows, "row")) if limit is not None
        ]
        return f"Up to {' and '.join(limits)} per report." if limits else ""


class OwnerView(View):
    """The person or team that readers contact."""

    name: str
    email: str | None = None


class ReportView(View):
    """A report."""

    name: str
    title: str
    description: str
    timezone: str = Field(description="Time zone that determines when a day begins.")
    partition: str
    schedule: str | None = None
    formats: list[str] = Field(description="Default file formats.")
    reader_formats: list[str] = Field(description="Formats that a request can choose.")
    limits: LimitsView
    owner: OwnerView | None = None
    parameters: list[ParameterView]
    presets: list[PresetView]
    may_ask: bool = Field(description="Whether you may request runs.")
    may_cancel: bool = Field(description="Whether you may cancel runs.")
    url: str = Field(description="Path to the page in the portal.")


class ReportRequestBody(BaseModel):
    """A report request. Both days are included."""

    model_config = ConfigDict(extra="forbid")

    start: str = Field(description="First day, YYYY-MM-DD.", examples=["2013-01-01"])
    end: str = Field(description="Last day, YYYY-MM-DD.", examples=["2013-01-31"])
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Parameter values by name. Omitted parameters have their default values."
    )
    formats: list[str] | None = Field(
        default=None, description="One or more of xlsx, csv and parquet; defaults to the report's formats."
    )
    fan_out: bool = Field(
        default=False, description="Run each stage as a separate task. By default, a small run is a single task."
    )


class EstimateView(View):
    """A report's expected size."""

    rows: int
    bytes: int = Field(description="Approximate size of all files.")
    partitions: int
    stored: int = Field(description="Number of cached partitions.")
    is_exact: bool = Field(description="Whether the number of rows is exact rather than an estimate.")


class ProgressView(View):
    """A run's progress, as the number of partitions read and files written."""

    stage: str
    partitions_done: int
    partitions: int | None = Field(description="Null until plan has finished.")
    files_done: int
    files: int | None = Field(description="Number of files with rows; null until layout has finished.")
    trouble: str | None = Field(default=None, description="Error from a task that will be retried.")

    @property
    def share(self) -> float:
        """The completed fraction, from 0 to 1. Reading and writing each count for half."""
        read = self.partitions_done / self.partitions if self.partitions else 0.0
        written = (self.files_done / self.files if self.files else 1.0) if self.files is not None else 0.0
        return (read + written) / 2


class FileView(View):
    """A file from a run. The permanent URL checks access and redirects to a new presigned URL."""

    name: str
    rows: int
    bytes: int
    start: date
    end: date
    earliest: str | None = Field(description="Earliest time among the file's rows, in the report's time zone.")
    latest: str | None = Field(description="Latest time among the file's rows, in the report's time zone.")
    sha256: str
    is_summary: bool = Field(description="Whether the file is the summary workbook, which also lists all other files.")
    url: str


class StageView(View):
    """A stage's resource usage, summed over its tasks. The peak memory is that of the largest task."""

    stage: str
    tasks: int
    seconds: float
    cpu_seconds: float
    rows: int
    bytes: int
    peak_rss_bytes: int


class RunView(View):
    """A report run."""

    run_id: str
    report: str
    state: RunState
    start: date | None
    end: date | None
    parameters: dict[str, Any]
    formats: list[str]
    asked_by: str | None = Field(description="User or trigger that requested the run.")
    asked_at: datetime
    began_at: datetime | None
    ended_at: datetime | None
    progress: ProgressView | None = None
    run: str | None = Field(default=None, description="Key of the published run.")
    reused: bool | None = Field(default=None, description="Whether the run was already published.")
    rows: int | None = None
    bytes: int | None = None
    files: list[FileView] = []
    warnings: list[str] = []
    error: str | None = Field(default=None, description="Technical error message.")
    explanation: str | None = Field(default=None, description="Error message for readers, with a contact.")
    archive: str | None = Field(default=None, description="Path to a zip of all files.")
    url: str = Field(description="Path to the page in the portal.")

    @property
    def is_active(self) -> bool:
        """Whether the run is waiting or running."""
        return self.state in ("waiting", "running")


class RunDetails(RunView):
    """A run with its stages' resource usage."""

    stages: list[StageView] = []
    unreached: list[str] = Field(default=[], description="Recipients whom the notification did not reach.")


class RequestedRunView(View):
    """The run that serves a request."""

    run_id: str
    started: bool = Field(description="Whether this request started the run.")
    url: str
    run: str | None = Field(default=None, description="Key of the published run if no row has changed since.")
    files: list[FileView] = Field(default=[], description="Files of that published run.")
    unchanged_since: datetime | None = Field(default=None, description="When the last rows of that run were read.")

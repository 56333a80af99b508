"""What the API answers, and what the pages show: one set of records for both."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from quire.formatting import format_count

RunState = Literal["waiting", "running", "done", "failed", "cancelled"]


class View(BaseModel):
    """A frozen record."""

    model_config = ConfigDict(frozen=True)


class ParameterView(View):
    """A parameter that a report declares."""

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
    """A report whose definition cannot be read, for those who may edit it."""

    name: str
    error: str


class PresetView(View):
    """A range that people often want; both days are included."""

    title: str
    start: date
    end: date


class LimitsView(View):
    """The largest request that a reader may make; ``rows`` is null where the definition sets no limit."""

    days: int | None = None
    rows: int | None = None

    @property
    def text(self) -> str:
        """The limits as a sentence; nothing where there are none."""
        limits = [
            format_count(limit, noun) for limit, noun in ((self.days, "day"), (self.rows, "row")) if limit is not None
        ]
        return f"At most {' and '.join(limits)} at once." if limits else ""


class OwnerView(View):
    """Whom a report's readers contact."""

    name: str
    email: str | None = None


class ReportView(View):
    """A report that the caller may see."""

    name: str
    title: str
    description: str
    timezone: str = Field(description="Where its days begin.")
    partition: str
    schedule: str | None = None
    formats: list[str] = Field(description="Of its files, unless a request names others.")
    reader_formats: list[str] = Field(description="That a request may name.")
    limits: LimitsView
    owner: OwnerView | None = None
    parameters: list[ParameterView]
    presets: list[PresetView]
    may_ask: bool
    may_cancel: bool
    url: str = Field(description="Of its page.")


class Request(BaseModel):
    """What is asked of a report. Both days are included."""

    model_config = ConfigDict(extra="forbid")

    start: str = Field(description="First day, YYYY-MM-DD.", examples=["2013-01-01"])
    end: str = Field(description="Last day, YYYY-MM-DD.", examples=["2013-01-31"])
    parameters: dict[str, Any] = Field(default_factory=dict, description="By name; the others have their defaults.")
    formats: list[str] | None = Field(
        default=None, description="xlsx, csv or parquet, one at least; without them, the report's own."
    )


class EstimateView(View):
    """What a request would give."""

    rows: int
    bytes: int = Field(description="Of all files, roughly.")
    partitions: int
    stored: int = Field(description="How many partitions need not be read again.")
    is_exact: bool = Field(description="Whether the rows were counted, and not guessed by the planner.")


class ProgressView(View):
    """How far a run is: partitions that are read, and files that are written, of all."""

    stage: str
    partitions_done: int
    partitions: int | None = Field(description="Null until plan has ended.")
    files_done: int
    files: int | None = Field(description="Workbooks and other files with rows; null until layout has ended.")
    trouble: str | None = Field(default=None, description="Why a task that has failed waits to be tried again.")

    @property
    def share(self) -> float:
        """How much is done, from 0 to 1: reading is taken for as much as writing."""
        read = self.partitions_done / self.partitions if self.partitions else 0.0
        written = (self.files_done / self.files if self.files else 1.0) if self.files is not None else 0.0
        return (read + written) / 2


class FileView(View):
    """A file of a run. ``url`` stays: who follows it is checked, and sent to a link that was signed that moment."""

    name: str
    rows: int
    bytes: int
    start: date
    end: date
    earliest: str | None = Field(description="The earliest time among its rows, in the report's time zone.")
    latest: str | None = Field(description="The latest time among its rows.")
    sha256: str
    is_summary: bool = Field(description="Whether it is the summaries' workbook, with the index of the others.")
    url: str


class StageView(View):
    """What a stage of a run took, all its tasks together; the memory is that of its largest."""

    stage: str
    tasks: int
    seconds: float
    cpu_seconds: float
    rows: int
    bytes: int
    peak_rss_bytes: int


class RunView(View):
    """A run of a report."""

    run_id: str
    report: str
    state: RunState
    start: date | None
    end: date | None
    parameters: dict[str, Any]
    formats: list[str]
    asked_by: str | None
    asked_at: datetime
    began_at: datetime | None
    ended_at: datetime | None
    progress: ProgressView | None = None
    run: str | None = Field(default=None, description="The published run's key.")
    reused: bool | None = Field(default=None, description="Whether it was published already.")
    rows: int | None = None
    bytes: int | None = None
    files: list[FileView] = []
    warnings: list[str] = []
    error: str | None = Field(default=None, description="Why it failed, in technical words.")
    explanation: str | None = Field(default=None, description="Why it failed and whom to contact, for readers.")
    archive: str | None = Field(default=None, description="All files in one zip.")
    url: str = Field(description="Of its page.")

    @property
    def is_active(self) -> bool:
        """Whether it is not over."""
        return self.state in ("waiting", "running")


class RunDetails(RunView):
    """A run with what its stages took."""

    stages: list[StageView] = []
    unreached: list[str] = Field(default=[], description="Whom its notification did not reach.")


class AskedView(View):
    """The answer to a request: a run, and whether it was started for it."""

    run_id: str
    started: bool
    url: str

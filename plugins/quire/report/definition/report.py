"""ReportDefinition: a report's entire YAML file, and checks that involve several of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from quire.date_range import MAX_DAYS, Grain
from quire.report.definition.delivery import Delivery
from quire.report.definition.field_types import (
    Cron,
    FanOut,
    Label,
    ParameterName,
    Prose,
    ReportName,
    TimeZone,
    Window,
    default_title,
    parse_window,
    title_from_name,
)
from quire.report.definition.limits import MAX_READER_DAYS, RequestLimits
from quire.report.definition.name_checks import duplicates_ignoring_case, find_duplicates
from quire.report.definition.owner import Owner
from quire.report.definition.parameter import Parameter, ParameterValue, bind_parameters, sql_bind
from quire.report.definition.source import Source
from quire.report.definition.strict_model import StrictModel, field_error
from quire.report.definition.summary import GroupKey, Summary
from quire.report.definition.workbook_options import Column, FileFormat, WorkbookOptions
from quire.report.sql_literal import TypedNull

StageName = Literal["plan", "extract", "layout", "aggregate", "render", "publish"]
RESERVED_PARAMETERS = ("start", "end", "force", "formats", "fan_out")  # every run has these parameters


def _window_from_partition(fields: dict[str, Any]) -> str:
    return f"1 {fields.get('partition', Grain.MONTH)}"


class ReportDefinition(StrictModel):
    """A report.

    The catalog, not the YAML file, sets two fields: ``name`` is the file's stem, and ``sql_text`` is the content of the
    file that ``source.sql`` names, with one newline at the end. ``model_dump(mode="json")`` contains everything that
    determines the report's output, in an order suitable for a digest.
    """

    name: ReportName
    title: Label = Field(default_factory=title_from_name)
    description: Prose = ""
    owner: Owner | None = None
    limits: RequestLimits = RequestLimits()
    source: Source
    partition: Grain
    timezone: TimeZone = "UTC"
    schedule: Cron | None = None
    window: Window = Field(default_factory=_window_from_partition)
    store_schedule: Cron | None = None
    parameters: Mapping[ParameterName, Parameter] = Field(default_factory=dict)
    columns: tuple[Column, ...] = ()
    summaries: tuple[Summary, ...] = ()
    workbook: WorkbookOptions = WorkbookOptions()
    delivery: Delivery = Delivery()
    queues: Mapping[StageName, Label] = Field(default_factory=dict)
    pools: Mapping[StageName, Label] = Field(default_factory=dict)
    fan_out: FanOut | None = None
    sql_text: str = ""

    @property
    def window_count(self) -> int:
        """The number of complete periods that a scheduled run covers."""
        return parse_window(self.window)[0]

    @property
    def window_grain(self) -> Grain:
        """The length of each period that a scheduled run covers."""
        return parse_window(self.window)[1]

    def bind_parameters(self, values: Mapping[str, object]) -> dict[str, ParameterValue]:
        """Returns a JSON value for every parameter: the given value, converted if it is a string, or the default.

        Raises:
            ParameterError: a name is unknown, or a value is missing, has the wrong type or is not allowed.
        """
        return bind_parameters(self.parameters, values, report=self.name)

    def sql_binds(self, bound: Mapping[str, ParameterValue]) -> dict[str, ParameterValue | date | TypedNull]:
        """Converts the values from ``bind_parameters`` for ``sql_template.bind``, with date objects and typed NULLs."""
        return {name: sql_bind(value, self.parameters[name].type) for name, value in bound.items()}

    def file_formats(self, requested: Sequence[FileFormat]) -> tuple[FileFormat, ...]:
        """Returns the requested file formats; if none were requested, returns the definition's formats."""
        return tuple(requested) or self.workbook.formats

    def column_title(self, name: str) -> str:
        """Returns a query column's header, whether or not ``columns`` lists the column."""
        return next((column.title for column in self.columns if column.name == name), default_title(name))

    def group_title(self, key: GroupKey) -> str:
        """Returns a group key's header; if ``every`` truncates the key, the header is the period's name."""
        return default_title(key.every) if key.every else self.column_title(key.column)

    @field_validator("parameters")
    @classmethod
    def _check_parameters(cls, parameters: Mapping[str, Parameter]) -> Mapping[str, Parameter]:
        for name in parameters:
            if name in RESERVED_PARAMETERS:
                reserved = " and ".join((", ".join(RESERVED_PARAMETERS[:-1]), RESERVED_PARAMETERS[-1]))
                raise field_error(f"{reserved} are reserved: choose another name", name)
        return {
            name: p if p.title else p.model_copy(update={"title": default_title(name)})
            for name, p in parameters.items()
        }

    @model_validator(mode="after")
    def _check_schedules(self) -> Self:
        for name, parameter in self.parameters.items():
            if parameter.required and (self.schedule or self.store_schedule):
                raise field_error(
                    "missing: every parameter in a scheduled report needs a default", "parameters", name, "default"
                )
        if self.store_schedule and self.source.freshness == "always":
            raise field_error(
                "has no effect with source.freshness: always, which never reuses partitions", "store_schedule"
            )
        return self

    @property
    def reader_limits(self) -> RequestLimits:
        """The limits for readers; by default, ``days`` is ten years or the window, whichever is longer."""
        window = self.window_count * MAX_DAYS[self.window_grain]
        return self.limits.model_copy(update={"days": self.limits.days or max(MAX_READER_DAYS, window)})

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        window = self.window_count * MAX_DAYS[self.window_grain]
        if self.limits.days is not None and window > self.limits.days:
            reason = f"is {self.limits.days:,}, but the window of {self.window} can have {window:,} days"
            raise field_error(reason, "limits", "days")
        return self

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        for name in find_duplicates(column.name for column in self.columns):
            raise field_error(f"{name} is listed twice", "columns")
        return self

    @model_validator(mode="after")
    def _check_summaries(self) -> Self:
        for name in duplicates_ignoring_case(summary.name for summary in self.summaries):
            raise field_error(f"two sheets are named {name!r}: rename one", "summaries")
        for position, summary in enumerate(self.summaries):
            headers = [self.group_title(key) for key in summary.by]
            headers += [measure.title for measure in summary.measures.values()]
            for title in duplicates_ignoring_case(headers):
                raise field_error(f"two columns have the header {title!r}: change one title", "summaries", position)
        if not self.workbook.detail and not self.summaries:
            raise field_error("is false, but the report has no summaries: the run would be empty", "workbook", "detail")
        return self

"""What the reader gets: the columns' dress, the workbooks, their delivery."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import ConfigDict, Discriminator, Field, StrictBool, StrictInt, Tag, model_validator

from quire.report.definition.part import Part, duplicates, fault, kind_of_value
from quire.report.definition.scalars import Address, ClassPath, Duration, FormatCode, Label, title_of

Total = Literal["sum", "mean", "min", "max", "count"]
FileFormat = Literal["xlsx", "csv", "parquet"]
FILE_FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)
MAX_LINK_LIFETIME = timedelta(days=7)  # S3's own limit for a presigned address


def _title_from_name(fields: dict[str, Any]) -> str:
    return title_of(fields.get("name", ""))


class Column(Part):
    """A column of the detail sheet.

    Args:
        name: the query's.
        title: the header's text; by default from the name.
        width: in Excel's character units; by default from the content.
        format: an Excel format code; by default from the type.
        total: what the totals row shows.
    """

    name: Label
    title: Label = Field(default_factory=_title_from_name)
    width: float | None = Field(default=None, gt=0, le=255, strict=True)
    format: FormatCode | None = None
    total: Total | None = None


class RowSplit(Part):
    """A workbook for every so many rows."""

    rows: StrictInt = Field(ge=1)


Split = Annotated[
    Annotated[Literal["partition", "none"], Tag("<word>")] | Annotated[RowSplit, Tag("<mapping>")],
    Discriminator(kind_of_value),
]


class CsvOptions(Part):
    """How CSV files are written.

    Args:
        escape_formulas: whether a text that a spreadsheet would take for a formula gets an apostrophe in front.
    """

    escape_formulas: StrictBool = False


class Workbook(Part):
    """How the rows become files.

    Args:
        split: what makes a file of its own.
        detail: whether there is a sheet of rows; without it, there are summaries only.
        formats: of the files of a run that does not name its formats.
        reader_formats: what readers may choose from; ``formats`` must be among them.
        csv: how CSV files are written.
    """

    split: Split = "partition"
    detail: StrictBool = True
    formats: tuple[FileFormat, ...] = ("xlsx",)
    reader_formats: tuple[FileFormat, ...] = FILE_FORMATS
    csv: CsvOptions = CsvOptions()

    @model_validator(mode="after")
    def _check_formats(self) -> Self:
        for field in ("formats", "reader_formats"):
            names: tuple[FileFormat, ...] = getattr(self, field)
            if not names:
                raise fault("is empty: name at least one of xlsx, csv, parquet", field)
            for name in duplicates(names):
                raise fault(f"{name} is listed twice", field)
        for name in self.formats:
            if name not in self.reader_formats:
                raise fault(
                    f"{name} is missing, but workbook.formats makes it: readers could download it", "reader_formats"
                )
        return self


class Notifier(Part):
    """Any of Airflow's notifiers, by its class, with the arguments that are its own: Airflow's side checks them."""

    model_config = ConfigDict(frozen=True, extra="allow")

    notifier: ClassPath

    @property
    def arguments(self) -> dict[str, Any]:
        """What the class is called with."""
        return dict(self.__pydantic_extra__ or {})


Recipient = Annotated[
    Annotated[Address, Tag("<word>")] | Annotated[Notifier, Tag("<mapping>")], Discriminator(kind_of_value)
]


class Notify(Part):
    """Who is told of a run's end: e-mail addresses, and notifiers for whatever else."""

    success: tuple[Recipient, ...] = ()
    failure: tuple[Recipient, ...] = ()


class Delivery(Part):
    """How long links and runs live, and who is told. Without ``keep``, a run is kept for ever."""

    link_ttl: Duration = timedelta(hours=1)
    keep: Duration | None = None
    notify: Notify = Notify()

    @model_validator(mode="after")
    def _check_link(self) -> Self:
        if self.link_ttl > MAX_LINK_LIFETIME:
            raise fault("a presigned link lives at most 7d", "link_ttl")
        return self

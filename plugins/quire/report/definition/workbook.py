"""What the reader gets: the columns' dress, the workbooks, their delivery."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Discriminator, Field, StrictBool, StrictInt, Tag, model_validator

from quire.report.definition.field_types import FormatCode, Label, default_title
from quire.report.definition.name_checks import find_duplicates
from quire.report.definition.strict_model import StrictModel, field_error, value_kind

Total = Literal["sum", "mean", "min", "max", "count"]
FileFormat = Literal["xlsx", "csv", "parquet"]
FILE_FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)


def _title_from_name(fields: dict[str, Any]) -> str:
    return default_title(fields.get("name", ""))


class Column(StrictModel):
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


class RowSplit(StrictModel):
    """A workbook for every so many rows."""

    rows: StrictInt = Field(ge=1)


Split = Annotated[
    Annotated[Literal["partition", "none"], Tag("<word>")] | Annotated[RowSplit, Tag("<mapping>")],
    Discriminator(value_kind),
]


class CsvOptions(StrictModel):
    """How CSV files are written.

    Args:
        escape_formulas: whether a text that a spreadsheet would take for a formula gets an apostrophe in front.
    """

    escape_formulas: StrictBool = False


class Workbook(StrictModel):
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
                raise field_error("is empty: name at least one of xlsx, csv, parquet", field)
            for name in find_duplicates(names):
                raise field_error(f"{name} is listed twice", field)
        for name in self.formats:
            if name not in self.reader_formats:
                raise field_error(
                    f"{name} is missing, but workbook.formats makes it: readers could download it", "reader_formats"
                )
        return self

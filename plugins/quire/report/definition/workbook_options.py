"""Detail sheet columns, file formats, and how rows are split among files."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Discriminator, Field, StrictBool, StrictInt, Tag, model_validator

from quire.report.definition.field_types import FormatCode, Label, title_from_name
from quire.report.definition.name_checks import find_duplicates
from quire.report.definition.strict_model import StrictModel, field_error, value_kind

Total = Literal["sum", "mean", "min", "max", "count"]
FileFormat = Literal["xlsx", "csv", "parquet"]
FILE_FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)


class Column(StrictModel):
    """A detail sheet column.

    Args:
        name: the column's name in the query.
        title: the header; derived from the name by default.
        width: the width in Excel's character units; derived from the content by default.
        format: an Excel format code; derived from the type by default.
        total: the aggregation that the totals row shows.
    """

    name: Label
    title: Label = Field(default_factory=title_from_name)
    width: float | None = Field(default=None, gt=0, le=255, strict=True)
    format: FormatCode | None = None
    total: Total | None = None


class RowSplit(StrictModel):
    """Splits the rows into workbooks of at most ``rows`` rows."""

    rows: StrictInt = Field(ge=1)


Split = Annotated[
    Annotated[Literal["partition", "none"], Tag("<word>")] | Annotated[RowSplit, Tag("<mapping>")],
    Discriminator(value_kind),
]


class CsvOptions(StrictModel):
    """Options for CSV files.

    Args:
        escape_formulas: whether to insert an apostrophe before text that a spreadsheet would interpret as a formula.
    """

    escape_formulas: StrictBool = False


class WorkbookOptions(StrictModel):
    """How a run writes its rows to files.

    Args:
        split: ``partition`` for one file per partition, a ``RowSplit`` to limit the rows in each file, or ``none`` for
            a single file.
        detail: whether to write the rows; if false, the run contains only summaries.
        formats: the file formats that a run writes by default.
        reader_formats: the formats that readers may choose; must include all of ``formats``.
        csv: the options for CSV files.
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
                raise field_error(f"must include {name}, because workbook.formats does", "reader_formats")
        return self

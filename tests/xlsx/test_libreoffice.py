"""LibreOffice opens the workbooks and exports the cells, as displayed, to CSV."""

from __future__ import annotations

import csv
import datetime as dt
import subprocess
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from quire.xlsx.detail_sheets import Limits
from quire.xlsx.model import SheetColumn

from tests.programs import require_program
from tests.xlsx.books import write_rows

# Separator, quotation mark, encoding (UTF-8) and first line; cells as displayed; a separate file for each sheet (see
# "CSV Filter Parameters" in LibreOffice's help).
EVERY_SHEET = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,true,false,false,-1"
TEXTS = [
    "=1+1", "-5", "+1", "@x", "{=A1}", "https://example.org/", "00123", "1e5", "TRUE", "#N/A", "2013-01-01", "'quoted",
    " lead", "trail ", "two\nlines", "_x0041_", "a\x01b", "&<>\"'", "😀", "",
]  # fmt: skip
SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("integer", pa.int64()),
        ("decimal", pa.decimal128(20, 2)),
        ("date", pa.date32()),
        ("timestamp", pa.timestamp("us", tz="UTC")),
        ("time", pa.time64("us")),
        ("boolean", pa.bool_()),
    ]
)

pytestmark = pytest.mark.usefixtures("servers")


def export_sheets(body: bytes, folder: Path) -> dict[str, list[list[str]]]:
    """Returns each sheet's cells, as LibreOffice displays them."""
    soffice = require_program("soffice", package="libreoffice-calc")
    (folder / "book.xlsx").write_bytes(body)
    profile = f"-env:UserInstallation={(folder / 'profile').as_uri()}"
    subprocess.run(
        [soffice, profile, "--headless", "--convert-to", EVERY_SHEET, "--outdir", folder, folder / "book.xlsx"],
        check=True,
        capture_output=True,
        timeout=180,
    )
    sheets = {}
    for path in folder.glob("book-*.csv"):
        with path.open(newline="", encoding="utf-8") as lines:
            sheets[path.stem.removeprefix("book-")] = list(csv.reader(lines))
    return sheets


def test_libreoffice_value_of_any_type_is_shown_as_written(tmp_path: Path) -> None:
    rows = [
        {
            "text": text,
            "integer": number if number % 2 else 10**15 + number,
            "decimal": None if number % 3 else Decimal("-1234.50"),
            "date": dt.date(2013, 3, 10) if number % 2 else dt.date(1900, 1, 1),
            "timestamp": dt.datetime(2013, 3, 10, 7, tzinfo=dt.UTC),
            "time": dt.time(23, 59, 59),
            "boolean": number % 2 == 0,
        }
        for number, text in enumerate(TEXTS)
    ]
    columns = [SheetColumn(name=name, title=name, total="sum" if name == "decimal" else None) for name in SCHEMA.names]
    body, _ = write_rows(rows, SCHEMA, columns=columns)
    sheets = export_sheets(body, tmp_path)
    header, *cells, totals = sheets["Rows"]
    assert header == SCHEMA.names
    assert cells == [
        [
            text,
            str(number) if number % 2 else str(10**15 + number),
            "" if number % 3 else "-1,234.50",
            "2013-03-10" if number % 2 else "1900-01-01",
            "2013-03-10 03:00:00",
            "23:59:59",
            str(number % 2 == 0).upper(),
        ]
        for number, text in enumerate(TEXTS)
    ]
    assert totals == ["Total", "", f"-{1234.5 * 7:,.2f}", "", "", "", ""]
    assert ["Rows", str(len(TEXTS))] in [row[:2] for row in sheets["About"]]


def test_libreoffice_rows_on_several_sheets_are_all_shown(tmp_path: Path) -> None:
    rows = [{"text": f"row {number}"} for number in range(250)]
    body, outcome = write_rows(rows, pa.schema([("text", pa.string())]), limits=Limits(sheet_rows=101, shared_rows=0))
    sheets = export_sheets(body, tmp_path)
    assert outcome.sheets == ("Rows", "Rows (2)", "Rows (3)")
    assert [text for sheet in outcome.sheets for (text,) in sheets[sheet][1:]] == [row["text"] for row in rows]

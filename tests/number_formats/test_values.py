"""Applies format codes to values, and compares the results with the cells that LibreOffice displays."""

from __future__ import annotations

import csv
import datetime as dt
import itertools
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from quire.number_formats import format_value

NUMBERS = (0, 1, -1, 0.4, -0.75, 7.25, -7.25, 12.5, 999.995, 1234.5, -1234.5, 1_234_567.891, -98_765_432.1, 0.000123)
NUMBER_CODES = (
    "General", "0", "0.0", "0.00", "#,##0", "#,##0.00", "0.0#", "000000", "0%", "0.0%",
    '"$"#,##0.00', "$#,##0.00", "[$€-407] #,##0.00", '#,##0.00 "€"', "#,##0.00 [$kr.-406]", "[$CHF] #,##0.00",
    '"total: "0', '0" pcs"', "0 \\k\\m", "\\(0\\)", "+0;-0;0", "0.0;(0.0)", "#,##0;[Red](#,##0)", '0;-0;"-"',
    '#,##0.00 "Cr";#,##0.00 "Dr";"nil"', "0.00E+00", "0.0E-0", "00-00-00", "#,##0_);(#,##0)",
    "_-* #,##0.00 _-;-* #,##0.00 _-",
    '[$-409]#,##0.00', '"a;b"0', "\\#0", "@", "0.00;;", '0.00"%"',
)  # fmt: skip
MOMENTS = (dt.datetime(2013, 2, 1, 6, 5, 9), dt.datetime(2024, 12, 31, 23, 59, 58, 250_000), dt.datetime(1999, 7, 4))  # noqa: DTZ001 - wall clocks
MOMENT_CODES = (
    "yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss", "yyyy-mm-dd hh:mm", "dd.mm.yyyy", "d/m/yy", "mmm yyyy", "mmmm d, yyyy",
    "ddd d mmm", "dddd", "hh:mm", "h:mm AM/PM", "mm:ss", "hh:mm:ss.000", '"week of "d mmmm', "yyyy",
    "yyyy\\Qm", "[h]:mm",
)  # fmt: skip


def shown_by_libreoffice(folder: Path, cells: list[tuple[Any, str]]) -> list[str]:
    """Returns each cell's text, as LibreOffice displays it."""
    with xlsxwriter.Workbook(folder / "cells.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.set_column(0, 0, 80)
        for row, (value, code) in enumerate(cells):
            sheet.write(row, 0, value, book.add_format({"num_format": code}))
    return [row[0].strip() if row else "" for row in csv_of_sheet(folder / "cells.xlsx", sheet=1)]


def csv_of_sheet(path: Path, *, sheet: int) -> list[list[str]]:
    """Returns the text that LibreOffice displays in each of a sheet's cells; sheets are numbered from 1."""
    options = f"csv:Text - txt - csv (StarCalc):44,34,76,1,,1033,false,true,true,false,false,{sheet}"
    profile = f"-env:UserInstallation=file://{path.parent}/office"
    subprocess.run(
        ["soffice", profile, "--headless", "--convert-to", options, "--outdir", path.parent, path],
        check=True,
        capture_output=True,
        timeout=300,
    )
    (written,) = path.parent.glob(f"{path.stem}*.csv")
    with written.open(newline="", encoding="utf-8") as file:
        return [[cell.strip() for cell in row] for row in csv.reader(file)]


@pytest.mark.usefixtures("servers")
@pytest.mark.skipif(not shutil.which("soffice"), reason="LibreOffice is not installed")
@pytest.mark.parametrize(("values", "codes"), [(NUMBERS, NUMBER_CODES), (MOMENTS, MOMENT_CODES)])
def test_format_value_equals_libreoffice(tmp_path: Path, values: tuple[Any, ...], codes: tuple[str, ...]) -> None:
    cells = list(itertools.product(values, codes))
    theirs = shown_by_libreoffice(tmp_path, cells)
    ours = [" ".join(format_value(value, code).split()) for value, code in cells]
    pairs = zip(cells, ours, (" ".join(text.split()) for text in theirs), strict=True)
    assert [(cell, own, other) for cell, own, other in pairs if own != other] == []


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (None, "0", ""),
        ("1234567890123456789", "#,##0", "1234567890123456789"),
        ("x", '0;-0;0;"is "@', "is x"),
        (True, "0", "TRUE"),
        (Decimal("37734107.00"), "#,##0.00 [$EUR]", "37,734,107.00 EUR"),
        (10**14 + 1, "#,##0", "100,000,000,000,001"),
        (0.1 + 0.2, "General", "0.3"),
        (1e20, "General", "1E+20"),
        (1.5e-7, "General", "1.5E-07"),
        (1_234_567, '[>=1000000]0.0,,"M";[>=1000]0.0,"k";0', "1.2M"),
        (-7, '[>=1000000]0.0,,"M";[>=1000]0.0,"k";0', "-7"),
        (-7, "[Red][<0]-0.0;[Blue][>=1000]#,##0;0.00", "-7.0"),
        (5, "[>10]0;[<2]0;", ""),
        (1_234_567, '$0.0,, "m"', "$1.2 m"),
        (12, "#,##0.###", "12."),  # like Excel
        (1.005, "0.00", "1.01"),  # Excel rounds the shortest decimal form, although the double is less
        (dt.date(2013, 2, 1), "General", "2013-02-01"),
        (dt.date(2013, 2, 1), "0.00", "2013-02-01"),
        (dt.time(6, 5, 9), "hh:mm", "06:05"),
        (dt.datetime(2013, 2, 1, 23, 59, 59, 500_000), "hh:mm:ss", "00:00:00"),  # noqa: DTZ001 - a wall clock's
        (dt.datetime(2013, 2, 1, 23, 59, 59, 500_000), "d mmm", "1 Feb"),  # noqa: DTZ001 - a wall clock's
        (41_306.5, "yyyy-mm-dd hh:mm", "2013-02-01 12:00"),
        (1e300, "yyyy", "1E+300"),
        (1e300, "0", "1" + "0" * 300),
        (1e300, "0." + "0" * 250, "1" + "0" * 300 + "." + "0" * 250),
        (-1.5e308, "0." + "0" * 250 + "%", "-15" + "0" * 309 + "." + "0" * 250 + "%"),
        (5, '"unclosed', "unclosed"),
        (5, "[", ""),
        (5, "", "5"),
    ],
)  # fmt: skip
def test_format_value_equals_a_cell(value: Any, code: str, text: str) -> None:
    assert format_value(value, code) == text


@pytest.mark.parametrize(
    "code",
    ['"' * 255, "[" * 255, "\\" * 127, "#," * 127, "0.0E+0" * 42, ";" * 255, "_" * 255, "*" * 255, "%" * 254 + "0"],
)
def test_format_value_accepts_any_code_for_any_value(code: str) -> None:
    for value in (1e300, -1e-300, 0, dt.date(9999, 12, 31), Decimal(f"{'9' * 131_072}.{'9' * 16_383}")):
        format_value(value, code)
    assert format_value("x" * 32_767, code) == "x" * 32_767 or code.count(";") >= 3

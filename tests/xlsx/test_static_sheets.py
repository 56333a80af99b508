"""Static sheets contain Excel tables with native charts, in workbooks with and without detail rows."""

from __future__ import annotations

import datetime as dt
import io
import re
import xml.etree.ElementTree as ElementTree
from xml.sax.saxutils import escape

import openpyxl
import pyarrow as pa
import pytest
from quire.xlsx.detail_sheets import Limits
from quire.xlsx.model import Chart, DetailOutcome, FactSection, FactSheet, SheetColumn, TableSheet, Workbook
from quire.xlsx.styles import CHART_COLORS

from tests.xlsx.books import MADE_AT, ZONE, about, calamine, cell, parts, write, write_rows

NUMBERS = pa.schema([("n", pa.int32())])


def about_and_table(outcome: DetailOutcome) -> tuple[FactSheet | TableSheet, ...]:
    table = pa.table({"k": ["a", "b", None], "v": [1, 2, 10**16], "f": [0.5, float("nan"), None]})
    columns = (
        SheetColumn(name="k", title="Kind"),
        SheetColumn(name="v", title="kind"),
        SheetColumn(name="f", title="", number_format="0.0"),
    )
    sheets = [
        TableSheet(
            sheet_name=f"By {kind}",
            heading=f"By {kind}",
            columns=columns,
            table=table,
            chart=Chart(kind=kind, x="k", y=("v",)),
        )
        for kind in ("column", "bar", "line", "area", "pie", "scatter")
    ]
    return (*about(outcome), *sheets)


@pytest.mark.parametrize("detail_first", [True, False])
def test_static_sheets_with_rows_have_excel_tables_and_native_charts(detail_first: bool) -> None:
    body, _ = write_rows([{"n": 1}, {"n": 2}], NUMBERS, static_sheets=about_and_table, detail_first=detail_first)
    book = openpyxl.load_workbook(io.BytesIO(body))
    static_names = ["About", "By column", "By bar", "By line", "By area", "By pie", "By scatter"]
    assert book.sheetnames == (["Rows", *static_names] if detail_first else [*static_names, "Rows"])
    assert book.active is not None
    assert book.active.title == ("Rows" if detail_first else "About")
    for name in static_names[1:]:
        sheet = book[name]
        assert len(sheet.tables) == 1
        assert len(sheet._charts) == 1
        assert [row[:3] for row in sheet.iter_rows(min_row=3, values_only=True)] == [
            ("Kind", "kind (2)", "Column 3"),
            ("a", 1, 0.5),
            ("b", 2, "NaN"),
            (None, "10000000000000000", None),
        ]
    assert [row[0] for row in calamine(body)] == ["n", 1, 2]
    assert book["Rows"].print_title_rows == "$1:$1"
    assert book["Rows"].auto_filter.ref == "A1:A3"
    assert book["Rows"].freeze_panes == "A2"


@pytest.mark.parametrize("detail_first", [True, False])
def test_document_properties_list_sheets_in_display_order(detail_first: bool) -> None:
    rows = [{"n": number} for number in range(5)]
    body, _ = write_rows(
        rows, NUMBERS, static_sheets=about_and_table, detail_first=detail_first, limits=Limits(sheet_rows=3)
    )
    package = parts(body)
    names = [escape(name) for name in openpyxl.load_workbook(io.BytesIO(body)).sheetnames]
    assert names[:2] == (["Rows", "Rows (2)"] if detail_first else ["About", "By column"])
    titles = package["docProps/app.xml"].decode().partition("<TitlesOfParts>")[2]
    assert re.findall("<vt:lpstr>([^<]*)</vt:lpstr>", titles)[: len(names)] == names
    active_sheets = [name for name in package if b'tabSelected="1"' in package[name]]
    assert active_sheets == ["xl/worksheets/sheet1.xml" if detail_first else "xl/worksheets/sheet4.xml"]
    assert b"activeTab" not in package["xl/workbook.xml"]  # the first sheet is active by default
    assert b"firstSheet" not in package["xl/workbook.xml"]


@pytest.mark.parametrize(("values", "minimum"), [([51_000, 51_100], 0), ([-5, 5], None)])
def test_chart_axis_without_negative_values_begins_at_zero(values: list[int], minimum: int | None) -> None:
    table = pa.table({"k": ["a", "b"], "v": values})
    columns = (SheetColumn(name="k", title="K"), SheetColumn(name="v", title="V"))
    for kind in ("column", "bar", "area"):
        chart = Chart(kind=kind, x="k", y=("v",))
        sheet = TableSheet(sheet_name="S", heading="S", columns=columns, table=table, chart=chart)
        body, _ = write_rows([{"n": 1}], NUMBERS, static_sheets=lambda outcome, sheet=sheet: (sheet,))
        chart_xml = parts(body)["xl/charts/chart1.xml"]
        assert (b'<c:min val="0"/>' in chart_xml) is (minimum == 0)
        assert b'formatCode="None"' not in chart_xml


def test_table_column_width_includes_thousands_separators() -> None:
    columns = (SheetColumn(name="v", title="V", number_format="#,##0"),)
    sheet = TableSheet(sheet_name="S", heading="S", columns=columns, table=pa.table({"v": [89_705_524]}))
    body, _ = write_rows([{"n": 1}], NUMBERS, static_sheets=lambda outcome: (sheet,))
    width = openpyxl.load_workbook(io.BytesIO(body))["S"].column_dimensions["A"].width
    assert width >= len("89,705,524") + 2


def test_write_workbook_without_detail_has_static_sheets() -> None:
    workbook = Workbook(
        title="t",
        subject="s",
        made_at=MADE_AT,
        timezone=ZONE,
        detail=None,
        static_sheets=about_and_table,
        detail_first=True,
    )
    files, outcomes = write(workbook)
    assert outcomes == (DetailOutcome(rows=0, sheets=(), notes=()),)
    assert calamine(files.bodies[0], "By pie")[2][:2] == ["Kind", "kind (2)"]


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_static_sheet_last_microsecond_of_a_day_stays_in_that_day(zone: str | None) -> None:
    timestamps = pa.array([5 * 3_600_000_000 - 1] if zone else [86_400_000_000 - 1]).view(pa.timestamp("us", tz=zone))
    sheet = TableSheet(
        sheet_name="T",
        heading="T",
        columns=(SheetColumn(name="m", title="M"),),
        table=pa.table({"m": timestamps}),
    )
    body, _ = write_rows([{"n": 1}], NUMBERS, static_sheets=lambda _: (sheet,))
    day = dt.date(1969, 12, 31) if zone else dt.date(1970, 1, 1)
    assert calamine(body, "T")[-1][0] == dt.datetime.combine(day, dt.time(23, 59, 59, 999_000))


@pytest.mark.parametrize(
    ("microseconds", "expected"),
    [
        (86_400_000_000 - 1, dt.time(23, 59, 59, 999_000)),
        (86_400_000_000 - 999, dt.time(23, 59, 59, 999_000)),
        (86_400_000_000 - 2_000, dt.time(23, 59, 59, 998_000)),
        (86_400_000_000, "24:00:00"),
    ],
)
def test_static_sheet_time_in_last_millisecond_of_a_day_stays_before_midnight(
    microseconds: int, expected: dt.time | str
) -> None:
    times = pa.array([microseconds]).view(pa.time64("us"))
    sheet = TableSheet(
        sheet_name="T", heading="T", columns=(SheetColumn(name="m", title="M"),), table=pa.table({"m": times})
    )
    body, _ = write_rows([{"n": 1}], NUMBERS, static_sheets=lambda _: (sheet,))
    assert calamine(body, "T")[-1][0] == expected


@pytest.mark.parametrize(
    ("title", "escaped"),
    [
        ("a\uffffb", "a_xFFFF_b"),
        ("a\ufffeb", "a_xFFFE_b"),
        ("a\x01b", "a_x0001_b"),
        ("a\tb", "a_x0009_b"),
        ("a\rb", "a_x000D_b"),
        ("a_x0041_b", "a_x005F_x0041_b"),
        ('a"&<b', 'a"&<b'),
    ],
)
def test_table_header_with_characters_forbidden_in_xml_is_escaped_like_excel(title: str, escaped: str) -> None:
    chart = Chart(kind="column", x="k", y=("v",))
    columns = (SheetColumn(name="k", title=title), SheetColumn(name="v", title=f"{title}2"))
    sheet = TableSheet(
        sheet_name="S", heading=title, columns=columns, table=pa.table({"k": ["a"], "v": [1]}), chart=chart
    )
    package = parts(write_rows([{"n": 1}], NUMBERS, static_sheets=lambda _: (sheet,))[0])
    trees = {name: ElementTree.fromstring(body) for name, body in package.items()}  # noqa: S314 - written by Quire
    headers = [
        element.get("name") for element in trees["xl/tables/table1.xml"].iter() if element.tag.endswith("Column")
    ]
    assert headers == [escaped, f"{escaped}2"]
    texts = ["".join(item.itertext()) for item in trees["xl/sharedStrings.xml"]]
    assert escaped.replace("_x0009_", "\t") in texts  # elements preserve tabs, but attributes do not


def test_static_sheet_float4_has_its_shortest_digits() -> None:
    numbers = pa.array([0.1, None, 16777216.0, 1e-45, float("nan"), float("-inf")], pa.float32())
    sheet = TableSheet(
        sheet_name="T", heading="T", columns=(SheetColumn(name="v", title="V"),), table=pa.table({"v": numbers})
    )
    body, _ = write_rows([{"n": 1}], NUMBERS, static_sheets=lambda _: (sheet,))
    assert [row[0] for row in calamine(body, "T")[3:]] == [0.1, "", 16777216.0, 1e-45, "NaN", "-Infinity"]


@pytest.mark.parametrize(
    ("values", "symbol"),
    [
        ([7], "circle"),
        ([1, 2, 3], "circle"),
        ([1] * 31, "none"),
        ([*[1] * 31, None, 5, None, 1], "circle"),
    ],
)
def test_line_chart_with_isolated_or_few_points_has_markers(values: list[int | None], symbol: str) -> None:
    table = pa.table({"k": list(range(len(values))), "v": values})
    columns = (SheetColumn(name="k", title="K"), SheetColumn(name="v", title="V"))
    chart = Chart(kind="line", x="k", y=("v",))
    sheet = TableSheet(sheet_name="S", heading="S", columns=columns, table=table, chart=chart)
    body, _ = write_rows([{"n": 1}], NUMBERS, static_sheets=lambda _: (sheet,))
    chart_xml = parts(body)["xl/charts/chart1.xml"].decode()
    assert re.findall(r'<c:symbol val="(\w+)"/>', chart_xml) == [symbol]


@pytest.mark.parametrize(
    ("kind", "rows"), [("line", 365), ("area", 365), ("scatter", 365), ("column", 30), ("pie", 30)]
)
def test_chart_of_many_rows_shows_all_points_but_only_30_bars(kind: str, rows: int) -> None:
    table = pa.table({"k": list(range(365)), "v": list(range(365))})
    columns = (SheetColumn(name="k", title="K"), SheetColumn(name="v", title="V"))
    chart = Chart(kind=kind, x="k", y=("v",))
    sheet = TableSheet(sheet_name="S", heading="S", columns=columns, table=table, chart=chart)
    body, _ = write_rows([{"n": 1}], NUMBERS, static_sheets=lambda _: (sheet,))
    chart_xml = parts(body)["xl/charts/chart1.xml"].decode()
    assert f"$B$4:$B${rows + 3}<" in chart_xml
    assert ("S (first 30 of 365)" in chart_xml) is (rows == 30)


def test_pie_chart_points_cycle_through_the_palette() -> None:
    table = pa.table({"k": list("abcdefg"), "v": range(7)})
    columns = (SheetColumn(name="k", title="K"), SheetColumn(name="v", title="V"))
    sheet = TableSheet(
        sheet_name="S", heading="S", columns=columns, table=table, chart=Chart(kind="pie", x="k", y=("v",))
    )
    body, _ = write_rows([{"n": 1}], NUMBERS, static_sheets=lambda _: (sheet,))
    chart_xml = parts(body)["xl/charts/chart1.xml"].decode()
    points = re.findall(r'<c:dPt><c:idx val="(\d+)"/>.*?<a:srgbClr val="(\w+)"/>', chart_xml)
    palette = [color.removeprefix("#") for color in CHART_COLORS]
    assert points == [(str(point), color) for point, color in enumerate([*palette, palette[0]])]


def test_header_of_right_aligned_column_leaves_room_for_filter_button() -> None:
    columns = (SheetColumn(name="k", title="K"), SheetColumn(name="v", title="V"))
    sheet = TableSheet(sheet_name="S", heading="S", columns=columns, table=pa.table({"k": ["a"], "v": [1]}))
    facts = FactSection(heading="", header=("K", "V"), rows=(("a", 1),))
    about = FactSheet(sheet_name="F", heading="F", subheading="", sections=(facts,))
    body, _ = write_rows([{"n": 1}], NUMBERS, static_sheets=lambda _: (sheet, about))
    for name, address, indent in (("Rows", "A1", 2), ("S", "B3", 2), ("F", "B3", 0)):
        look = cell(body, address, name).alignment
        assert (look.horizontal, look.indent) == ("right", indent)

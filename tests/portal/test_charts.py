"""Charts as SVG: their geometry tells the values, and texts cannot break out."""

from __future__ import annotations

import datetime as dt
import math
import xml.etree.ElementTree as ElementTree
from typing import Any

import pyarrow as pa
import pytest
from quire.portal.charts import HEIGHT, MOST_BARS, draw_chart
from quire.portal.tables import shown_value
from quire.xlsx.model import Chart, SheetColumn, TableSheet


def drawn(kind: Any, columns: dict[str, list[Any]]) -> ElementTree.Element:
    return ElementTree.fromstring(svg_of(kind, columns))  # noqa: S314 - our own


def svg_of(kind: Any, columns: dict[str, list[Any]]) -> str:
    x, *y = columns
    sheet = TableSheet(
        sheet_name="T",
        heading="By <kind>",
        columns=tuple(SheetColumn(name=name, title=name.upper()) for name in columns),
        table=pa.table(columns),
        chart=Chart(kind=kind, x=x, y=tuple(y)),
    )
    return draw_chart(sheet, dict.fromkeys(sheet.table.schema.names, "General"), shown_value)


def all_of(svg: ElementTree.Element, tag: str, kind: str | None = None) -> list[ElementTree.Element]:
    return [element for element in svg.iter(tag) if kind is None or element.get("class") == kind]


@pytest.mark.parametrize("kind", ["column", "bar", "pie"])
def test_bars_are_as_long_as_their_values(kind: str) -> None:
    svg = drawn(kind, {"k": ["a", "b", None], "v": [10, 20, 0]})
    lengths = [float(bar.get("width", "")) for bar in all_of(svg, "rect")]
    assert lengths[1] == pytest.approx(2 * lengths[0], rel=0.01)
    assert lengths[2] == 0
    assert [text.text for text in all_of(svg, "text")] == ["a", "10", "b", "20", None, "0"]


def test_negative_bars_reach_to_the_other_side_of_zero() -> None:
    svg = drawn("bar", {"k": ["a", "b"], "v": [-10, 10]})
    left, right = all_of(svg, "rect")
    end = float(left.get("x", "")) + float(left.get("width", ""))
    assert end == pytest.approx(float(right.get("x", "")), abs=0.2)


def test_several_series_have_a_legend() -> None:
    svg = drawn("column", {"k": ["a"], "v": [1], "w": [2]})
    assert {"V", "W"} <= {text.text for text in all_of(svg, "text")}
    assert len(all_of(svg, "rect", "series1")) == 2  # its bar, and its mark in the legend


@pytest.mark.parametrize(("kind", "count"), [("line", 3), ("area", 3), ("column", MOST_BARS + 1)])
def test_lines_go_over_every_value(kind: str, count: int) -> None:
    svg = drawn(kind, {"k": list(range(count)), "v": [float(number) for number in range(count)]})
    (line,) = all_of(svg, "polyline")
    levels = [float(point.split(",")[1]) for point in line.get("points", "").split()]
    assert len(levels) == count
    assert levels == sorted(levels, reverse=True)
    assert 0 < min(levels) < max(levels) < HEIGHT


def test_values_that_are_missing_or_infinite_are_left_out_of_a_line() -> None:
    svg = drawn("line", {"k": [1, 2, 3, 4], "v": [1.0, None, math.inf, math.nan]})
    assert len(all_of(svg, "polyline")[0].get("points", "").split()) == 1


def test_points_stand_at_both_their_numbers() -> None:
    svg = drawn("scatter", {"k": [0, 100, 50], "v": [0.0, 10.0, 5.0]})
    left, right, middle = ((float(p.get("cx", "")), float(p.get("cy", ""))) for p in all_of(svg, "circle"))
    assert left[0] < middle[0] < right[0]
    assert left[1] > middle[1] > right[1]


@pytest.mark.parametrize("values", [[0], [0, 0], [5], [-3, -3], [1e-12, 2e-12], [1e-310, 0], [1e300, 1], [1e90, -1e90]])
def test_whatever_the_values_everything_stays_inside(values: list[float]) -> None:
    for kind in ("bar", "line", "scatter"):
        svg = drawn(kind, {"k": list(range(len(values))), "v": [float(value) for value in values]})
        width = float(svg.get("viewBox", "").split()[2])
        for place in [*all_of(svg, "rect"), *all_of(svg, "circle")]:
            x = float(place.get("x") or place.get("cx") or "")
            assert 0 <= x <= width


@pytest.mark.parametrize("kind", ["bar", "line", "scatter"])
@pytest.mark.parametrize(
    "values", [["a", "b"], [dt.date(2013, 1, 1), dt.date(2013, 1, 2)], [None, None], [math.inf, math.nan]]
)
def test_measure_without_lengths_has_no_chart(kind: Any, values: list[Any]) -> None:
    assert svg_of(kind, {"k": [1, 2], "v": values}) == ""


def test_points_at_infinity_are_left_out() -> None:
    svg = drawn("scatter", {"k": [0.0, math.inf, 2.0], "v": [1.0, 2.0, 3.0]})
    assert len(all_of(svg, "circle")) == 2


def test_chart_of_more_points_than_a_page_takes_is_left_to_the_workbook() -> None:
    assert svg_of("line", {"k": list(range(1_001)), "v": list(range(1_001))}) == ""


def test_texts_are_escaped() -> None:
    svg = drawn("bar", {"k": ["</text><script>alert(1)</script>"], "v": [1]})
    assert not all_of(svg, "script")
    assert svg.get("aria-label") == "By <kind>: V by K"


def test_sheet_without_chart_or_rows_has_none() -> None:
    table = pa.table({"k": pa.array([], pa.string())})
    column = SheetColumn(name="k", title="K")
    sheet = TableSheet(sheet_name="T", heading="T", columns=(column,), table=table, chart=None)
    assert draw_chart(sheet, dict.fromkeys(sheet.table.schema.names, "General"), shown_value) == ""

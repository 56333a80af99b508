"""An SVG chart's geometry matches the values, and labels cannot inject markup."""

from __future__ import annotations

import datetime as dt
import math
import xml.etree.ElementTree as ElementTree
from typing import Any

import pyarrow as pa
import pytest
from quire.tables_and_charts.chart_marks import HEIGHT
from quire.tables_and_charts.svg_chart import draw_chart
from quire.xlsx.chart_points import MAX_BARS, MAX_MARKED
from quire.xlsx.model import Chart, SheetColumn, TableSheet


def drawn(kind: Any, columns: dict[str, list[Any]], **formats: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg_of(kind, columns, **formats))  # noqa: S314 - our own


def svg_of(kind: Any, columns: dict[str, list[Any]], **formats: str) -> str:
    x, *y = columns
    sheet = TableSheet(
        sheet_name="T",
        heading="By <kind>",
        columns=tuple(SheetColumn(name=name, title=name.upper()) for name in columns),
        table=pa.table(columns),
        chart=Chart(kind=kind, x=x, y=tuple(y)),
    )
    formats = {**dict.fromkeys(columns, "General"), **formats}
    return draw_chart(sheet, columns, formats, total_rows=sheet.table.num_rows)


def all_of(svg: ElementTree.Element, tag: str, kind: str | None = None) -> list[ElementTree.Element]:
    return [element for element in svg.iter(tag) if kind is None or element.get("class") == kind]


@pytest.mark.parametrize("count", [1, 2, 29, MAX_BARS])
def test_columns_are_drawn_for_any_number_of_rows(count: int) -> None:
    svg = drawn("column", {"k": [f"State {number}" for number in range(count)], "v": list(range(count))})
    bars = all_of(svg, "rect", "series0")
    foot = {round(float(bar.get("y", "")) + float(bar.get("height", "")), 1) for bar in bars}
    assert (len(bars), len(foot), all_of(svg, "polyline")) == (count, 1, [])
    heights = [float(bar.get("height", "")) for bar in bars]
    assert heights == [pytest.approx(heights[-1] * number / max(1, count - 1), abs=0.2) for number in range(count)]
    assert {f"State {number}" for number in range(count)} <= {text.text for text in all_of(svg, "text")}


def test_negative_columns_extend_below_zero() -> None:
    up, down = all_of(drawn("column", {"k": ["a", "b"], "v": [10, -5]}), "rect", "series0")
    assert float(up.get("y", "")) + float(up.get("height", "")) == pytest.approx(float(down.get("y", "")))
    assert float(up.get("height", "")) == pytest.approx(2 * float(down.get("height", "")), abs=0.2)


def test_pie_has_a_slice_for_each_value_in_proportion() -> None:
    svg = drawn("pie", {"k": ["a", "b", "c"], "v": [50, 25, 25]})
    slices = all_of(svg, "path")
    assert len(slices) == 3
    assert slices[0].get("d", "").endswith("164.00 212.00z")  # a slice that is half the circle ends at the bottom
    assert slices[1].get("d", "").endswith("64.00 112.00z")
    assert [text.text for text in all_of(svg, "text")] == ["a: 50 (50.0%)", "b: 25 (25.0%)", "c: 25 (25.0%)"]


def test_pie_of_one_value_is_a_full_circle() -> None:
    (path,) = all_of(drawn("pie", {"k": ["a", "b"], "v": [5, 0]}), "path")
    assert path.get("d", "").count("a100 100") == 2


@pytest.mark.parametrize("kind", ["line", "area"])
def test_line_of_one_point_has_a_mark(kind: str) -> None:
    svg = drawn(kind, {"k": ["January"], "v": [7]})
    assert len(all_of(svg, "circle", "series0")) == 1


def test_line_marks_a_single_point_between_gaps() -> None:
    many = [1.0] * MAX_MARKED
    smooth = drawn("line", {"k": list(range(len(many) + 1)), "v": [*many, 2.0]})
    gap = drawn("line", {"k": list(range(len(many) + 4)), "v": [*many, None, 2.0, None, 1.0]})
    assert (len(all_of(smooth, "circle")), len(all_of(gap, "circle"))) == (0, MAX_MARKED + 2)
    assert len(all_of(gap, "polyline")) == 3  # no line crosses a gap


def test_scale_has_the_format_of_its_column() -> None:
    svg = drawn("column", {"k": ["a"], "v": [1_200.0]}, v='#,##0.00 "€"')
    assert float(svg.get("viewBox", "").split()[0]) < 0  # the view box leaves room for the labels
    assert {"0.00 €", "500.00 €", "1,500.00 €"} <= {text.text for text in all_of(svg, "text")}


def test_chart_with_too_many_bars_shows_the_first_and_a_note() -> None:
    count = MAX_BARS + 1
    svg = drawn("column", {"k": list(range(count)), "v": list(range(count))})
    assert len(all_of(svg, "rect", "series0")) == MAX_BARS
    assert svg.get("aria-label") == f"By <kind> (first {MAX_BARS} of {count}): V by K"


def test_points_over_dates_are_at_their_dates() -> None:
    days = [dt.date(2013, 1, 1), dt.date(2013, 1, 2), dt.date(2013, 1, 11)]
    svg = drawn("scatter", {"k": days, "v": [1, 2, 3]}, k="yyyy-mm-dd")
    first, second, last = (float(point.get("cx", "")) for point in all_of(svg, "circle"))
    assert last - first == pytest.approx(10 * (second - first), rel=0.02)
    assert "2013-01-06" in {text.text for text in all_of(svg, "text")}


def test_every_series_is_drawn_and_named() -> None:
    names = [f"v{number}" for number in range(8)]
    svg = drawn("line", {"k": [1, 2], **{name: [1, 2] for name in names}})
    assert len(all_of(svg, "polyline")) == 8
    assert {name.upper() for name in names} <= {text.text for text in all_of(svg, "text")}


def test_bar_lengths_are_proportional_to_values() -> None:
    svg = drawn("bar", {"k": ["a", "b", None], "v": [10, 20, 0]})
    lengths = [float(bar.get("width", "")) for bar in all_of(svg, "rect")]
    assert lengths[1] == pytest.approx(2 * lengths[0], rel=0.01)
    assert lengths[2] == 0
    assert [text.text for text in all_of(svg, "text")] == ["a", "10", "b", "20", None, "0"]


def test_negative_bars_extend_to_the_left_of_zero() -> None:
    svg = drawn("bar", {"k": ["a", "b"], "v": [-10, 10]})
    left, right = all_of(svg, "rect")
    end = float(left.get("x", "")) + float(left.get("width", ""))
    assert end == pytest.approx(float(right.get("x", "")), abs=0.2)


def test_several_series_have_a_legend() -> None:
    svg = drawn("column", {"k": ["a"], "v": [1], "w": [2]})
    assert {"V", "W"} <= {text.text for text in all_of(svg, "text")}
    assert len(all_of(svg, "rect", "series1")) == 2  # the series' bar, and its mark in the legend


@pytest.mark.parametrize(("kind", "count"), [("line", 3), ("area", 3), ("line", 400)])
def test_lines_pass_through_every_value(kind: str, count: int) -> None:
    svg = drawn(kind, {"k": list(range(count)), "v": [float(number) for number in range(count)]})
    (line,) = all_of(svg, "polyline")
    levels = [float(point.split(",")[1]) for point in line.get("points", "").split()]
    assert len(levels) == count
    assert levels == sorted(levels, reverse=True)
    assert 0 < min(levels) < max(levels) < HEIGHT


def test_missing_and_infinite_values_are_omitted_from_a_line() -> None:
    svg = drawn("line", {"k": [1, 2, 3, 4], "v": [1.0, None, math.inf, math.nan]})
    assert [len(line.get("points", "").split()) for line in all_of(svg, "polyline")] == [1]


def test_points_are_at_their_coordinates() -> None:
    svg = drawn("scatter", {"k": [0, 100, 50], "v": [0.0, 10.0, 5.0]})
    left, right, middle = ((float(p.get("cx", "")), float(p.get("cy", ""))) for p in all_of(svg, "circle"))
    assert left[0] < middle[0] < right[0]
    assert left[1] > middle[1] > right[1]


@pytest.mark.parametrize("values", [[0], [0, 0], [5], [-3, -3], [1e-12, 2e-12], [1e-310, 0], [1e300, 1], [1e90, -1e90]])
def test_chart_of_any_values_stays_inside_the_view(values: list[float]) -> None:
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


def test_points_at_infinity_are_omitted() -> None:
    svg = drawn("scatter", {"k": [0.0, math.inf, 2.0], "v": [1.0, 2.0, 3.0]})
    assert len(all_of(svg, "circle")) == 2


def test_line_with_too_many_points_shows_the_first() -> None:
    svg = drawn("line", {"k": list(range(1_001)), "v": list(range(1_001))})
    assert len(all_of(svg, "polyline")[0].get("points", "").split()) == 1_000


def test_texts_are_escaped() -> None:
    svg = drawn("bar", {"k": ["</text><script>alert(1)</script>"], "v": [1]})
    assert not all_of(svg, "script")
    assert svg.get("aria-label") == "By <kind>: V by K"


def test_sheet_without_chart_or_rows_has_none() -> None:
    table = pa.table({"k": pa.array([], pa.string())})
    column = SheetColumn(name="k", title="K")
    sheet = TableSheet(sheet_name="T", heading="T", columns=(column,), table=table, chart=None)
    assert draw_chart(sheet, {"k": []}, {"k": "General"}, total_rows=0) == ""

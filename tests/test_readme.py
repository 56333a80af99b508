"""The report in the README runs as written, and the README's figures equal the stored benchmark results."""

from __future__ import annotations

import json
import re
from pathlib import Path

import psycopg
from quire.object_store.s3_store import S3Store
from quire.pipeline import run_report
from quire.report.catalog import find_definition
from quire.settings import CLONE

from tests.documents import blocks
from tests.events import request_of, session_of
from tests.workbooks import open_workbook, sheet_rows

README = CLONE / "README.md"


def test_readme_report_runs_as_written(tmp_path: Path, fresh_database: str, bucket: S3Store) -> None:
    texts = {block.language: block.text for block in blocks(README) if block.language in ("sql", "yaml")}
    (tmp_path / "reports").mkdir()
    (tmp_path / "sql" / "sales").mkdir(parents=True)
    (tmp_path / "sql" / "sales" / "extract.sql").write_text(texts["sql"])
    (tmp_path / "reports" / "sales.yaml").write_text(texts["yaml"])
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE sales (sold_at timestamptz, shop text, product text, amount numeric)")
        connection.execute(
            "INSERT INTO sales VALUES ('2026-01-01 00:00 Europe/Berlin', 'North', 'Tea', 2.5), "
            "('2026-01-31 23:59 Europe/Berlin', 'South', 'Salt', 10), ('2026-02-01 Europe/Berlin', 'South', 'Salt', 1)"
        )
    definition = find_definition(tmp_path, "sales")
    request = request_of(definition, "2026-01-01", "2026-01-31")

    outcome = run_report(
        definition, request, session=session_of(fresh_database, timezone="Europe/Berlin"), store=bucket
    )

    detail, summary = (open_workbook(bucket, file.key) for file in outcome.published.manifest.files)
    header, *rows = sheet_rows(detail, "Sales")
    assert header == ["Sold", "Shop", "Product", "Amount"]
    assert [row[1:] for row in rows] == [["North", "Tea", 2.5], ["South", "Salt", 10.0], ["", "", 12.5]]
    assert ["South", 1.0, 10.0] in sheet_rows(summary, "By shop")


def test_readme_figures_equal_the_stored_results() -> None:
    results = json.loads((CLONE / "benchmarks" / "results" / "render.json").read_text())["results"]
    speeds = {
        result["contender"]: result["rows"] / result["seconds"]
        for result in results
        if result["table"] == "lineitem" and result["rows"] == 1_048_575
    }
    text = " ".join(README.read_text().split())
    (claimed,) = re.findall(r"at ([0-9,]+) rows per second", text)
    (ratios,) = re.findall(
        r"(\d+) times as fast as XlsxWriter, (\d+) times as fast as DuckDB and (\d+) times as fast as rustpy", text
    )
    peers = ("XlsxWriter constant_memory", "DuckDB excel", "rustpy-xlsxwriter")
    assert int(claimed.replace(",", "")) == round(speeds["quire"], -3)
    assert [int(ratio) for ratio in ratios] == [round(speeds["quire"] / speeds[peer]) for peer in peers]


def test_readme_gives_each_command_a_line() -> None:
    (first, *_) = (block.text for block in blocks(README) if block.language == "sh")
    commands = [line.partition("#")[0].strip() for line in first.strip().splitlines()]
    assert commands == ["make demo", "make test"]

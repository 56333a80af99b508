"""The docs say what is true: their links, paths, commands, and the README's own report."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from quire.cli.app import app
from quire.object_store import ObjectStore
from quire.pipeline import run_report
from quire.report.catalog import find_definition
from quire.report.definition import ReportDefinition
from quire.settings import CLONE

from tests.events import request_of, session_of
from tests.workbooks import open_workbook, sheet_rows

DOCS = sorted([*CLONE.glob("*.md"), *(CLONE / "docs").rglob("*.md")])


def identify(path: Path) -> str:
    return path.relative_to(CLONE).as_posix()


@pytest.mark.parametrize("path", DOCS, ids=identify)
def test_links_lead_to_files(path: Path) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCS, ids=identify)
def test_paths_and_commands_are_there(path: Path) -> None:
    text = path.read_text()
    targets = re.findall(r"^([a-z-]+):", (CLONE / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)) <= set(targets)
    named = re.findall(r"`((?:plugins|tests|dags|docs|\.ci)/[\w./]+)`", text)
    assert [name for name in named if not (CLONE / name).exists()] == []
    commands = {command.callback.__name__ for command in app.registered_commands if command.callback}
    commands |= {str(group.name) for group in app.registered_groups}
    assert set(re.findall(r"(?:bin/|`)quire ([a-z]+)", text)) <= commands


def test_every_field_of_a_definition_is_documented() -> None:
    text = (CLONE / "docs" / "reference" / "report-definition.md").read_text()
    fields = set(ReportDefinition.model_fields) - {"name", "sql_text"}
    assert [field for field in fields if f"`{field}" not in text] == []


def test_readmes_report_runs_as_it_stands(tmp_path: Path, fresh_database: str, bucket: ObjectStore) -> None:
    readme = (CLONE / "README.md").read_text()
    blocks = {
        kind: re.sub(r"^   ", "", body, flags=re.MULTILINE)
        for kind, body in re.findall(r"```(sql|yaml)\n(.*?)```", readme, re.DOTALL)
    }
    (tmp_path / "reports").mkdir()
    (tmp_path / "sql" / "sales").mkdir(parents=True)
    (tmp_path / "sql" / "sales" / "extract.sql").write_text(blocks["sql"])
    (tmp_path / "reports" / "sales.yaml").write_text(blocks["yaml"])
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
    rows, summary = (open_workbook(bucket, file.key) for file in outcome.published.manifest.files)
    header, *found = sheet_rows(rows, "Sales")
    assert header == ["Sold", "Shop", "Product", "Amount"]
    assert [row[1:] for row in found] == [["North", "Tea", 2.5], ["South", "Salt", 10.0], ["", "", 12.5]]
    assert ["South", 1.0, 10.0] in sheet_rows(summary, "By shop")

"""Processes import no packages that they do not need: pandas, psycopg 3 for reading, or any for definitions.

One process checks all packages, because importing Polars and Arrow takes a second.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from quire.settings import CLONE

READING = ("quire.pipeline", "quire.stages.extract", "quire.postgres.tracking.tokens", "quire.cli.check")
HEAVY = ("polars", "pyarrow", "xlsxwriter", "pandas", "airflow", "boto3")
PROGRAM = """
import importlib, importlib.util, json, sys

def loaded(*packages):
    return sorted(set(packages) & set(sys.modules))

definition_modules, reading_modules, heavy = json.loads(sys.argv[1])
facts = {}
for name in definition_modules:
    importlib.import_module(name)
facts["definitions"] = loaded(*heavy)
from tests.xlsx.every_column_type import write_every_column_type
write_every_column_type()  # before pandas is hidden from Arrow
facts["writing"] = loaded("pandas", "quire.postgres")
for name in reading_modules:
    importlib.import_module(name)
facts["reading"] = loaded("psycopg", "psycopg2", "pandas")
from quire.postgres.arrow_without_pandas import hide_pandas_from_arrow
hide_pandas_from_arrow()
import pyarrow as pa
facts["arrow"] = [pa.array([1, 2]).to_pylist(), pa.scalar(5).as_py(), loaded("pandas")]
if importlib.util.find_spec("pandas"):
    import pandas
    facts["pandas"] = int(pandas.Series([1]).sum())
print(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    """What a process has imported after loading definitions, writing a workbook, and loading modules that read rows."""
    arguments = [["quire.report.definition", "quire.report.catalog"], READING, HEAVY]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(arguments)],
        env={**os.environ, "PYTHONPATH": f"{CLONE / 'plugins'}:{CLONE}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    loaded: dict[str, Any] = json.loads(done.stdout)
    return loaded


def test_importing_definitions_loads_nothing_heavy(facts: dict[str, Any]) -> None:
    assert facts["definitions"] == []


def test_reading_process_imports_neither_psycopg3_nor_pandas(facts: dict[str, Any]) -> None:
    assert facts["reading"] == ["psycopg2"]


def test_write_workbook_column_of_any_type_does_not_import_pandas(facts: dict[str, Any]) -> None:
    assert facts["writing"] == []


def test_arrow_does_not_import_pandas_but_other_code_can(facts: dict[str, Any]) -> None:
    assert facts["arrow"] == [[1, 2], 5, []]
    assert facts.get("pandas", 1) == 1  # other code in the process may import pandas

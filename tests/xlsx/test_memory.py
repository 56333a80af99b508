"""Memory stays flat however wide the rows and however long the texts are."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.xlsx.peak_memory import CASES

BUDGET_MB = 400  # of a process, with all that it has imported


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's peak there")
@pytest.mark.parametrize("case", sorted(CASES))
def test_memory_of_wide_or_long_rows_stays_within_the_budget(case: str) -> None:
    command = [sys.executable, "-m", "tests.xlsx.peak_memory", case]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(told.stdout) < BUDGET_MB


@pytest.mark.skipif(importlib.util.find_spec("pandas") is None, reason="there is nothing to import")
def test_writer_of_many_kinds_of_columns_never_imports_pandas() -> None:
    command = [sys.executable, "-m", "tests.xlsx.imported_pandas"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout == "\n"

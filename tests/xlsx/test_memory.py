"""Memory usage is bounded, even for wide rows and long strings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fast_mode import sized
from tests.xlsx.peak_memory import CASES

BUDGET_MIB = 400  # per process, including its imports
FAST_BATCHES = 4  # the peak with 4 batches equals that with 64
BATCHES = {"many_floats": 32, "long_texts": 64, "longest_escapes": 32}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="/proc/self/status exists on Linux only")
@pytest.mark.parametrize("case", sorted(CASES))
def test_write_workbook_wide_or_long_rows_stay_within_memory_budget(case: str) -> None:
    batches = str(sized(BATCHES[case], fast=FAST_BATCHES))
    command = [sys.executable, "-m", "tests.xlsx.peak_memory", case, batches]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(process.stdout) < BUDGET_MIB

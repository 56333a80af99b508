"""Tasks never import pandas, but other code in the same process can import it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

CODE = """
import sys
import quire.stages.extract, quire.stages.plan, quire.stages.aggregate, quire.stages.render, quire.stages.publish
import pyarrow as pa
assert pa.array([1, 2]).to_pylist() == [1, 2] and pa.scalar(5).as_py() == 5
assert "pandas" not in sys.modules
import pandas
print(pandas.Series([1]).sum())
"""


@pytest.mark.skipif(importlib.util.find_spec("pandas") is None, reason="pandas is not installed")
def test_stages_do_not_import_pandas() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr

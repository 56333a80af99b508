"""Prevents pyarrow from importing pandas.

To check whether an argument is a pandas object, pyarrow imports pandas if pandas is installed, as it is in Airflow's
environments. The import costs each task 1.5 s of CPU time and 30 MB of memory. pyarrow attempts the import only once
per process (``pandas-shim.pxi``, pyarrow 26), so it is enough to hide pandas during this attempt. Other code can still
import pandas.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib.abc import MetaPathFinder
from types import ModuleType

import pyarrow as pa

PANDAS = "pandas"


class _NoPandas(MetaPathFinder):
    """Hides pandas, and leaves all other modules to the other finders."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname == PANDAS:
            raise ModuleNotFoundError(fullname)


@lru_cache(maxsize=1)
def hide_pandas_from_arrow() -> None:
    """Makes pyarrow attempt the import without pandas. Call this before using Arrow scalars, arrays or datasets.

    Importing this module has no effect, because Airflow's scheduler imports it for processes that run other tasks.
    """
    if PANDAS in sys.modules:  # the cost of importing pandas has already been paid
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)

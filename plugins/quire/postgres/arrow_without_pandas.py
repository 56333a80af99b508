"""Arrow without pandas: imported before whatever uses Arrow's scalars, arrays and datasets.

For each of them pyarrow asks whether it was given something of pandas, and imports pandas to know, where that is
installed (as beside Airflow): 1.5 s of processor time and 30 MB in every task, for nothing. It asks once in a process
(``pandas-shim.pxi``, pyarrow 26), so that it is enough to let it find no pandas that one time; others may import it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

import pyarrow as pa

PANDAS = "pandas"


class _NoPandas(MetaPathFinder):
    """Finds that there is no pandas, and leaves the rest to others."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname == PANDAS:
            raise ModuleNotFoundError(fullname)


def _let_arrow_find_no_pandas() -> None:
    if PANDAS in sys.modules:  # somebody has use for it
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)


_let_arrow_find_no_pandas()

"""Reads workbooks with a library that shares no code with the writer."""

from __future__ import annotations

import io
from typing import Any

from python_calamine import CalamineWorkbook
from quire.object_store import Store


def open_workbook(store: Store, key: str) -> CalamineWorkbook:
    """Returns a stored workbook."""
    body = store.read(key)
    assert body is not None, key
    return CalamineWorkbook.from_filelike(io.BytesIO(body))


def sheet_rows(workbook: CalamineWorkbook, name: str) -> list[list[Any]]:
    """Returns a sheet's rows, including the header."""
    return workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)

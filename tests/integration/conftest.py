"""The report on the flights of 2013."""

from __future__ import annotations

import pytest
from quire.report.catalog import find_definition
from quire.report.definition import ReportDefinition
from quire.settings import CLONE


@pytest.fixture(scope="session")
def flights() -> ReportDefinition:
    """The report in this clone."""
    return find_definition(CLONE / "include", "flights")

"""A database of events, and an events report with cached partitions."""

from __future__ import annotations

from pathlib import Path

import pytest
from quire.report.definition import ReportDefinition

from tests.events import events_report, fill_events


@pytest.fixture
def database(fresh_database: str) -> str:
    fill_events(fresh_database)
    return fresh_database


@pytest.fixture
def definition(tmp_path: Path) -> ReportDefinition:
    return events_report(tmp_path, source={"freshness": {"probe": "amount"}}, delivery={"keep": "30d"})

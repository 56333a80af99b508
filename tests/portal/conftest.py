"""A portal with several users, shared by the tests; a test module may define its own portal."""

from __future__ import annotations

from pathlib import Path

import pytest
from quire.object_store.s3_store import S3Store
from quire.portal import command_line_runs

from tests.events import events_report
from tests.portal.in_process import Portal, open_portal_of_many


@pytest.fixture
def portal(tmp_path: Path, bucket: S3Store, monkeypatch: pytest.MonkeyPatch) -> Portal:
    """The portal with the events report; a request header names the user."""
    command_line_runs._LISTINGS.clear()
    events_report(tmp_path)
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    return open_portal_of_many(monkeypatch, lambda: bucket)

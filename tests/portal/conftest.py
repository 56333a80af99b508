"""Fixtures for a store in memory and a portal with several users; a test module may define its own portal."""

from __future__ import annotations

from pathlib import Path

import pytest
from quire.object_store.memory_store import MemoryStore

from tests.events import events_report
from tests.portal.in_process import Portal, open_portal_of_many


@pytest.fixture
def store() -> MemoryStore:
    """An empty store."""
    return MemoryStore()


@pytest.fixture
def portal(tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Portal:
    """The portal with the events report; a request header contains the user's name."""
    events_report(tmp_path)
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    return open_portal_of_many(lambda: store)

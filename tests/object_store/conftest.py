"""Fixtures for each kind of store."""

from __future__ import annotations

from pathlib import Path

import pytest
from quire.object_store import Store
from quire.object_store.folder_store import FolderStore
from quire.object_store.memory_store import MemoryStore

from tests.object_store.stores import shorten_pages


@pytest.fixture(params=[pytest.param("s3", marks=pytest.mark.server), "folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store: in S3 (with short listing pages), in a folder, or in memory."""
    if request.param == "s3":
        return shorten_pages(request.getfixturevalue("bucket"))
    return FolderStore(tmp_path / "store") if request.param == "folder" else MemoryStore()

"""Tests the pages that editors and readers see for a report whose definition is invalid."""

from __future__ import annotations

from pathlib import Path

import pytest
from quire.object_store.memory_store import MemoryStore
from quire.report.catalog import Catalog, DefinitionCache

from tests.events import events_report
from tests.portal.in_process import EDIT, READ, Portal, open_portal


@pytest.fixture
def portal(tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Portal:
    events_report(tmp_path)
    (tmp_path / "reports" / "torn.yaml").write_text("title: Torn\npartition: mnth\n")
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    return open_portal(lambda: store)


def test_broken_report_shows_its_error_to_editors(portal: Portal) -> None:
    portal.rights = {READ, EDIT}
    (broken,) = portal.get("/api/broken-reports").json()
    assert broken["name"] == "torn"
    assert "mnth" in broken["error"]
    page = portal.get("/").text
    assert "torn.yaml:2" in page
    response = portal.get("/api/reports/torn")
    assert (response.status_code, "torn.yaml:2" in response.json()["detail"]) == (409, True)


def test_broken_report_shows_readers_only_a_contact(portal: Portal) -> None:
    assert portal.get("/api/broken-reports").json() == []
    assert "torn" not in portal.get("/").text
    response = portal.get("/api/reports/torn")
    assert response.status_code == 409
    assert response.json()["detail"] == (
        "This report is unavailable because its definition is invalid. Contact your Airflow administrator."
    )
    assert portal.get("/api/reports/nothing").json()["detail"] == "There is no report nothing."


def test_report_list_page_reads_the_catalog_once(portal: Portal) -> None:
    folders = list[Path]()

    class Counted(DefinitionCache):
        def load(self, include: Path, *, only: str | None = None) -> Catalog:
            folders.append(include)
            return super().load(include, only=only)

    portal.use(definitions=Counted())
    portal.rights = {READ, EDIT}
    page = portal.get("/").text
    assert ("Events" in page, "torn.yaml:2" in page, len(folders)) == (True, True, 1)

"""The list shows the reports that the caller may read, and a search narrows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from quire.object_store.memory_store import MemoryStore

from tests.events import DEFINITION, SQL, write_report
from tests.portal.in_process import READ, Portal, open_portal

OWNER = {"name": "Finance data", "email": "finance@example.org"}


@pytest.fixture
def portal(tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Portal:
    write_report(tmp_path, "refunds", {**DEFINITION, "title": "refunds", "owner": OWNER}, SQL)
    write_report(tmp_path, "orders", {**DEFINITION, "title": "Orders", "description": "Each order with its shop"}, SQL)
    write_report(tmp_path, "shop_visits", {**DEFINITION, "title": "Visits"}, SQL)
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    portal = open_portal(lambda: store)
    portal.rights = {READ}
    return portal


def titles(page: str) -> list[str]:
    return re.findall(r"<strong>(.*?)</strong>", page)


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("", ["Orders", "refunds", "Visits"]),
        ("shop", ["Orders", "Visits"]),
        ("FINANCE", ["refunds"]),
        ("each shop", ["Orders"]),
        ("shop nothing", []),
    ],
)
def test_search_finds_reports_by_words(portal: Portal, search: str, expected: list[str]) -> None:
    assert titles(portal.get("/", params={"search": search}).text) == expected
    reports = portal.get("/api/reports", params={"search": search}).json()
    assert [report["title"] for report in reports] == expected


def test_search_that_finds_nothing_offers_all_reports(portal: Portal) -> None:
    page = portal.get("/", params={"search": '<b>"nothing"'}).text
    assert "0 reports found for “&lt;b&gt;&#34;nothing&#34;”" in page
    assert 'href="?"' in page


def test_caller_without_rights_sees_no_report(portal: Portal) -> None:
    portal.rights = set()
    assert "have access to any reports" in portal.get("/").text
    assert portal.get("/api/reports").json() == []


def test_search_that_is_too_long_is_rejected(portal: Portal) -> None:
    assert portal.get("/api/reports", params={"search": "x" * 201}).status_code == 422

"""Tests the portal's responses to invalid requests."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from quire.errors import StoreUnavailableError
from quire.object_store.memory_store import MemoryStore
from quire.portal import access
from quire.portal.api import ERROR_RESPONSES
from quire.portal.portal_app import create_app
from quire.portal.resources import PortalResources
from quire.report.catalog import Catalog, DefinitionCache
from quire.settings import CLONE

from tests.events import events_report
from tests.portal.in_process import Portal, open_portal

DAYS = {"start": "2013-01-01", "end": "2013-01-31"}
FILL = {"report": "events", "run_id": "any", "run_key": "0" * 32, "name": "summary.xlsx"}


@pytest.fixture
def portal(tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Portal:
    events_report(tmp_path)
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    return open_portal(lambda: store)


def test_create_app_uses_the_given_resources(portal: Portal) -> None:
    class Unavailable(DefinitionCache):
        def load(self, include: Path, *, only: str | None = None) -> Catalog:
            raise StoreUnavailableError("the folder is away")

    portal.app = create_app(PortalResources(definitions=Unavailable()))
    portal.app.dependency_overrides[access._caller] = lambda: portal.caller("ann")
    response = portal.get("/api/reports")
    assert (response.status_code, response.json()["detail"]) == (503, "the folder is away")


def test_documented_error_statuses_are_those_of_the_api() -> None:
    text = (CLONE / "docs" / "reference" / "portal-api.md").read_text()
    table = text.partition("## Status codes")[2].partition("## ")[0]
    assert [int(status) for status in re.findall(r"^\| (\d{3}) \|", table, re.M)] == list(ERROR_RESPONSES)


def test_portal_resources_of_two_apps_are_separate() -> None:
    first, second = PortalResources(), PortalResources()
    shared = {"open_session"}  # a function
    names = {field.name for field in fields(PortalResources)}
    assert {name for name in names if getattr(first, name) is getattr(second, name)} == shared


@pytest.mark.parametrize("suffix", ["", "/"])
def test_app_redirects_ignore_the_host_header(portal: Portal, suffix: str) -> None:
    routes = [route for route in portal.app.routes if isinstance(route, APIRoute) and "GET" in route.methods]
    assert len(routes) >= 10
    for route in routes:
        path = route.path.format(**FILL).rstrip("/") + suffix
        response = portal.get(path, headers={"Host": "evil.example", "Accept": "text/html"})
        assert "evil.example" not in response.headers.get("location", ""), path


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/api/reports/Events", "There is no such report."),
        ("/api/reports/events/runs/..%00", "There is no such run."),
        ("/reports/events/published/xyz/summary.xlsx", "There is no such run."),
        ("/reports/events/published/xyz.zip", "There is no such run."),
        ("/static/PORTAL.css", "There is no such file."),
        ("/static/..%2Fapp.py", "There is no such page."),
        ("/nothing", "There is no such page."),
    ],
)
def test_app_unknown_path_returns_404_with_a_message(portal: Portal, path: str, reason: str) -> None:
    response = portal.get(path)
    assert (response.status_code, response.json()) == (404, {"detail": reason})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"start": "2013-01-01"}, "end is required"),
        ({**DAYS, "force": True}, "force is not a field in this request"),
        ({**DAYS, "x" * 40_000: 1}, f"{'x' * 59}… is not a field in this request"),
        ({**DAYS, "parameters": []}, "parameters must be an object with a value for each parameter"),
        ({**DAYS, "start": 5}, "start must be a string"),
        ([], "body must be a JSON object"),
    ],
)
def test_app_invalid_body_returns_422_with_a_message(portal: Portal, body: object, reason: str) -> None:
    response = portal.post("/api/reports/events/estimate", json=body)
    assert (response.status_code, response.json()["detail"]) == (422, reason)


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": "9" * 60_000},
        {"parameters": {"p" * 60_000: "a"}},
        {"formats": ["f" * 60_000]},
    ],
)
def test_app_error_message_truncates_long_input(portal: Portal, wrong: dict[str, object]) -> None:
    response = portal.post("/api/reports/events/runs", json={**DAYS, **wrong})
    assert response.status_code == 422
    assert len(response.text) < 600


def test_app_limit_out_of_range_returns_422_with_a_message(portal: Portal) -> None:
    response = portal.get("/api/reports/events/runs", params={"limit": 101})
    assert (response.status_code, response.json()["detail"]) == (422, "limit is too large")

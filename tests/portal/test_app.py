"""The portal's app: what it answers to requests that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from quire.object_store import ObjectStore

from tests.events import events_report
from tests.portal.in_process import Portal, open_portal

DAYS = {"start": "2013-01-01", "end": "2013-01-31"}
FILL = {"report": "events", "run_id": "any", "run_key": "0" * 32, "name": "summary.xlsx"}


@pytest.fixture
def portal(tmp_path: Path, bucket: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Portal:
    events_report(tmp_path)
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    return open_portal(monkeypatch, lambda: bucket)


@pytest.mark.parametrize("suffix", ["", "/"])
def test_no_redirect_is_built_from_the_host_header(portal: Portal, suffix: str) -> None:
    routes = [route for route in portal.app.routes if isinstance(route, APIRoute) and "GET" in route.methods]
    assert len(routes) >= 10
    for route in routes:
        path = route.path.format(**FILL).rstrip("/") + suffix
        answer = portal.get(path, headers={"Host": "evil.example", "Accept": "text/html"})
        assert "evil.example" not in answer.headers.get("location", ""), path


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
def test_address_of_nothing_is_not_found_in_plain_words(portal: Portal, path: str, reason: str) -> None:
    answer = portal.get(path)
    assert (answer.status_code, answer.json()) == (404, {"detail": reason})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"start": "2013-01-01"}, "end is required"),
        ({**DAYS, "force": True}, "force is not a field of this request"),
        ({**DAYS, "x" * 40_000: 1}, f"{'x' * 59}… is not a field of this request"),
        ({**DAYS, "parameters": []}, "parameters must be an object with a value for each parameter"),
        ({**DAYS, "start": 5}, "start must be a string"),
        ([], "body must be a JSON object"),
    ],
)
def test_wrong_body_is_refused_in_plain_words(portal: Portal, body: object, reason: str) -> None:
    answer = portal.post("/api/reports/events/estimate", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (422, reason)


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": "9" * 60_000},
        {"parameters": {"p" * 60_000: "a"}},
        {"formats": ["f" * 60_000]},
    ],
)
def test_refusal_does_not_repeat_long_input(portal: Portal, wrong: dict[str, object]) -> None:
    answer = portal.post("/api/reports/events/runs", json={**DAYS, **wrong})
    assert answer.status_code == 422
    assert len(answer.text) < 600


def test_page_number_out_of_range_is_refused_in_plain_words(portal: Portal) -> None:
    answer = portal.get("/api/reports/events/runs", params={"limit": 101})
    assert (answer.status_code, answer.json()["detail"]) == (422, "limit is too large")

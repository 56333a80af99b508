"""Every route checks permissions for every kind of user."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from quire.dev_stack.stack import LocalStack

from tests.airflow.portal import HIDDEN, OUTSIDER, READER, browser, program

ROUTES = """
import json
from quire.portal.portal_app import create_app
print(json.dumps([[route.path, sorted(route.methods)] for route in create_app().routes]))
"""
LOADED = """
import json, sys
from airflow import plugins_manager
before = set(sys.modules)
names = [plugin.name for plugin in plugins_manager._get_plugins()[0]]
print(json.dumps([names, sorted(set(sys.modules) - before)]))
"""
HEAVY = {"fastapi", "starlette", "jinja2", "polars", "pyarrow", "boto3"}
QUERIES = ["", "?dag_id=daily", "?report=daily", "?dag_id=~"]
FILL = {"report": HIDDEN, "run_id": "any", "run_key": "0" * 32, "name": "summary.xlsx"}


def run_in_airflow(stack: LocalStack, code: str) -> str:
    """Runs Python code in the stack's Airflow environment, and returns the last line of output."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **stack.airflow.environment()},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def requests(running_stack: LocalStack) -> list[tuple[str, str]]:
    """Every portal route's method and path."""
    routes: list[tuple[str, list[str]]] = json.loads(run_in_airflow(running_stack, ROUTES))
    requests = [(method, path.format(**FILL)) for path, methods in routes for method in methods]
    assert len(requests) >= 18
    return requests


@pytest.fixture(scope="module")
def anonymous(running_stack: LocalStack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{running_stack.airflow.url}/quire", timeout=30) as client:
        yield client


@pytest.mark.parametrize("query", QUERIES)
def test_anonymous_requests_are_rejected(anonymous: httpx.Client, requests: list[tuple[str, str]], query: str) -> None:
    for method, path in requests:
        answer = anonymous.request(method, f"{path}{query}")
        assert answer.status_code == 401, (method, path, answer.text)
    assert anonymous.get("/no/such/thing").status_code == 404
    for wrong in ({"Authorization": "Bearer x.y.z"}, {"Cookie": "_token=x.y.z"}):
        assert anonymous.get("/api/reports", headers=wrong).status_code in (401, 403)


def test_anonymous_page_redirects_to_the_login(anonymous: httpx.Client) -> None:
    answer = anonymous.get("/reports/flights?start=x", headers={"Accept": "text/html"})
    assert answer.status_code == 302
    assert answer.headers["location"] == "/api/v2/auth/login?next=%2Fquire%2Freports%2Fflights%3Fstart%3Dx"


@pytest.mark.parametrize("query", QUERIES)
def test_report_is_forbidden_without_read_access_to_its_dag(
    running_stack: LocalStack, requests: list[tuple[str, str]], query: str
) -> None:
    with program(running_stack, OUTSIDER) as client:
        for method, path in requests:
            if HIDDEN in path:
                body = {"start": "2013-01-01", "end": "2013-01-31"} if method == "POST" else None
                answer = client.request(method, f"{path}{query}", json=body)
                assert answer.status_code == 403, (method, path, answer.text)
        assert HIDDEN not in [report["name"] for report in client.get("/api/reports").json()]
        assert HIDDEN not in client.get("/", headers={"Accept": "text/html"}).text
        assert client.get("/api/reports/daily").json()["may_ask"]


def test_report_without_access_does_not_reveal_whether_it_exists(running_stack: LocalStack) -> None:
    with program(running_stack, OUTSIDER) as client:
        hidden = client.get(f"/api/reports/{HIDDEN}").json()["detail"]
        assert hidden == f"You don't have permission to do this with report {HIDDEN}."
        for name, status in (("flight", 404), ("nothing", 404), ("torn", 409)):
            answer = client.get(f"/api/reports/{name}")
            assert answer.status_code == status
            assert HIDDEN not in answer.text


def test_reader_may_neither_request_nor_cancel_runs(running_stack: LocalStack) -> None:
    body = {"start": "2013-01-01", "end": "2013-01-31"}
    with program(running_stack, READER) as client:
        report = client.get("/api/reports/flights").json()
        assert (report["may_ask"], report["may_cancel"]) == (False, False)
        assert client.post("/api/reports/flights/runs", json=body).status_code == 403
        assert client.post("/api/reports/flights/runs/any/cancel").status_code == 403
        assert client.post("/api/reports/flights/estimate", json=body).status_code == 200
    with browser(running_stack, READER) as pages:
        assert "Create report" not in pages.get("/reports/flights").text


def test_browser_session_without_token_changes_nothing(running_stack: LocalStack) -> None:
    fields = {"start": "2013-01-01", "end": "2013-01-31"}
    with browser(running_stack) as pages, browser(running_stack, OUTSIDER) as others:
        other_token = re.findall(r'data-token="([^"]+)"', others.get("/").text)[0]
        own_token = re.findall(r'data-token="([^"]+)"', pages.get("/").text)[0]
        for sent in (None, "x", other_token, f"{own_token}x"):
            form = {"quire-token": sent} if sent else {}
            for page in ("/reports/flights", "/reports/flights/runs/any/cancel"):
                assert pages.post(page, data={**fields, **form}).status_code == 403, (page, sent)
            header = {"X-Quire-Token": sent} if sent else {}
            for place in ("runs", "runs/any/cancel", "estimate"):
                place = f"/api/reports/flights/{place}"
                assert pages.post(place, json=fields, headers=header).status_code == 403
        # with the right token, the request is accepted, but the run does not exist
        own = {"X-Quire-Token": own_token}
        assert pages.post("/api/reports/flights/runs/any/cancel", headers=own).status_code == 404


def test_responses_have_security_headers(running_stack: LocalStack) -> None:
    with browser(running_stack) as pages:
        headers = pages.get("/").headers
    assert headers["content-security-policy"].startswith("default-src 'self'; frame-ancestors 'self'")
    assert headers["x-content-type-options"] == "nosniff"


def test_loading_the_plugin_imports_no_large_library(running_stack: LocalStack) -> None:
    names, loaded = json.loads(run_in_airflow(running_stack, LOADED))
    assert "quire" in names
    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()
    assert "quire.portal.lazy_app" in loaded
    assert {"quire.portal.portal_app", "quire.report", "quire.airflow_dag"} & set(loaded) == set()

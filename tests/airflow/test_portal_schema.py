"""The API never responds to generated requests, valid or invalid, with a server error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from quire.dev_stack.stack import LocalStack

from tests.airflow.portal import ACTIVE, ask, program, wait

EXAMPLES = 25  # per route
REPORT = "daily"
DAYS = ("2013-01-05", "2013-01-06")


@pytest.fixture(scope="module")
def portal(running_stack: LocalStack) -> Iterator[httpx.Client]:
    with program(running_stack) as client:
        yield client
        for run in client.get(f"/api/reports/{REPORT}/runs", params={"limit": 100}).json():
            if run["state"] in ACTIVE:
                client.post(f"/api/reports/{REPORT}/runs/{run['run_id']}/cancel")


def test_api_with_generated_requests_never_fails(portal: httpx.Client) -> None:
    description = schemathesis.openapi.from_dict(portal.get("/openapi.json").raise_for_status().json())
    operations = [operation.ok() for operation in description.get_all_operations()]  # type: ignore[union-attr]
    assert len(operations) >= 10
    run = wait(portal, REPORT, ask(portal, REPORT, *DAYS))
    existing = {"report": REPORT, "run_id": run["run_id"], "run_key": run["run"], "name": run["files"][0]["name"]}
    reached = {operation.label: statuses(portal, operation, existing) & {200, 202, 302} for operation in operations}
    assert all(reached.values()), reached


def statuses(portal: httpx.Client, operation: Any, existing: dict[str, str]) -> set[int]:
    """Sends generated requests to an operation and returns the status codes.

    Args:
        portal: the client.
        operation: one of the API's operations.
        existing: values that identify existing objects; they replace two thirds of the generated path parameters.
    """
    status_codes: set[int] = set()

    @given(case=operation.as_strategy())
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def send(case: schemathesis.Case[Any]) -> None:
        for name, value in existing.items():
            if name in case.path_parameters and len(str(case.path_parameters[name])) % 3:
                case.path_parameters[name] = value
        if isinstance(case.body, dict) and len(str(case.body)) % 3:  # two thirds of the bodies are valid
            case.body = dict(zip(("start", "end"), DAYS, strict=True))
        headers = {"Authorization": portal.headers["Authorization"]}
        answer = case.call(base_url=str(portal.base_url), headers=headers, allow_redirects=False)
        assert answer.status_code < 500, answer.text
        status_codes.add(answer.status_code)

    send()
    return status_codes

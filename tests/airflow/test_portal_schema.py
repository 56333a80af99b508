"""Whatever is sent to the API as its description allows, or does not: it answers, and never breaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from quire.local_stack.stack import LocalStack

from tests.airflow.portal import ACTIVE, program

EXAMPLES = 25  # of each route
REPORT = "daily"


@pytest.fixture(scope="module")
def portal(running_stack: LocalStack) -> Iterator[httpx.Client]:
    with program(running_stack) as client:
        yield client
        for run in client.get(f"/api/reports/{REPORT}/runs", params={"limit": 100}).json():
            if run["state"] in ACTIVE:
                client.post(f"/api/reports/{REPORT}/runs/{run['run_id']}/cancel")


def test_api_never_breaks(portal: httpx.Client) -> None:
    description = schemathesis.openapi.from_dict(portal.get("/openapi.json").raise_for_status().json())
    operations = [found.ok() for found in description.get_all_operations()]  # type: ignore[union-attr]
    assert len(operations) >= 10
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        def send(case: schemathesis.Case[Any]) -> None:
            if len(str(case.path_parameters.get("report", ""))) % 2:
                case.path_parameters["report"] = REPORT
            headers = {"Authorization": portal.headers["Authorization"]}
            answer = case.call(base_url=str(portal.base_url), headers=headers, allow_redirects=False)
            assert answer.status_code < 500, answer.text

        send()

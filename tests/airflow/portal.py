"""Portal clients that sign in to a running stack as different users."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
from quire.dev_stack.stack import LocalStack

ADMIN, READER, OUTSIDER = "admin", "reader", "outsider"
HIDDEN = "flights"  # the report to which OUTSIDER has no access
ACTIVE = ("waiting", "running")
SECONDS = 240


def password_of(stack: LocalStack, user: str) -> str:
    """Returns a user's password, which Airflow generated."""
    return str(json.loads((stack.airflow.folder / "passwords.json").read_text())[user])


def token_of(stack: LocalStack, user: str) -> str:
    """Returns a JWT for one of the stack's users."""
    credentials = {"username": user, "password": password_of(stack, user)}
    answer = httpx.post(f"{stack.airflow.url}/auth/token", json=credentials)
    return str(answer.raise_for_status().json()["access_token"])


def program(stack: LocalStack, user: str = ADMIN) -> httpx.Client:
    """Returns a client that authenticates with a token, as programs do."""
    headers = {"Authorization": f"Bearer {token_of(stack, user)}"}
    return httpx.Client(base_url=f"{stack.airflow.url}/quire", headers=headers, timeout=60)


def browser(stack: LocalStack, user: str = ADMIN) -> httpx.Client:
    """Returns a client that authenticates with a session cookie, as browsers do."""
    return httpx.Client(
        base_url=f"{stack.airflow.url}/quire",
        cookies={"_token": token_of(stack, user)},
        headers={"Accept": "text/html"},
        timeout=60,
    )


def ask(client: httpx.Client, report: str, start: str, end: str, **fields: Any) -> str:
    """Requests a report and returns the run's ID; the run may already be published."""
    answer = client.post(f"/api/reports/{report}/runs", json={"start": start, "end": end, **fields})
    assert answer.status_code in (200, 202), answer.text
    return str(answer.json()["run_id"])


def wait(client: httpx.Client, report: str, run_id: str) -> dict[str, Any]:
    """Waits for a run to finish, and returns the run."""
    deadline = time.monotonic() + SECONDS
    while (run := show(client, report, run_id))["state"] in ACTIVE:
        assert time.monotonic() < deadline, run
        time.sleep(0.2)
    return run


def show(client: httpx.Client, report: str, run_id: str) -> dict[str, Any]:
    """Returns a run."""
    run: dict[str, Any] = client.get(f"/api/reports/{report}/runs/{run_id}").raise_for_status().json()
    return run

"""Tests requests to Airflow's REST API with stand-ins, because Airflow itself starts slowly and rarely fails."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from quire.dev_stack.airflow_runs import run_state, start_run, task_states
from quire.dev_stack.airflow_servers import AirflowServer
from quire.errors import StackError

HEALTH = {component: {"status": "healthy"} for component in ("metadatabase", "scheduler", "triggerer", "dag_processor")}


@contextmanager
def healthy_airflow(sign_in_status: int) -> Iterator[int]:
    """Runs a stand-in for a healthy Airflow that answers sign-ins with the given status. Yields its port."""

    class Airflow(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, HEALTH)

        def do_POST(self) -> None:
            self._answer(sign_in_status, {"access_token": "t"})

        def _answer(self, status: int, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Airflow) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(("sign_in_status", "healthy"), [(201, True), (401, False)])
def test_healthy_with_another_airflow_password_is_false(tmp_path: Path, sign_in_status: int, healthy: bool) -> None:
    with healthy_airflow(sign_in_status) as port:
        secrets = {"password": "p", "fernet_key": "f", "jwt_secret": "j"}
        server = AirflowServer(tmp_path, database_url="postgresql://", secrets=secrets, environment={}, port=port)
        assert server.healthy is healthy


def client(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.Client:
    return httpx.Client(base_url="http://airflow/api/v2", transport=httpx.MockTransport(answer))


def test_task_states_of_more_tasks_than_a_page_holds_lists_all() -> None:
    tasks = [
        {"dag_run_id": "run", "task_id": "extract", "map_index": index, "state": "success"} for index in range(230)
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        first, limit = int(request.url.params["offset"]), min(int(request.url.params["limit"]), 100)
        return httpx.Response(200, json={"task_instances": tasks[first : first + limit], "total_entries": len(tasks)})

    with client(answer) as airflow:
        assert [index for _, index, _ in task_states(airflow, "flights", "run")] == list(range(230))


def test_task_states_of_tasks_that_are_deleted_meanwhile_ends_the_list() -> None:
    with client(lambda request: httpx.Response(200, json={"task_instances": [], "total_entries": 5})) as airflow:
        assert task_states(airflow, "flights", "run") == []


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (httpx.Response(404, json={"detail": "no DAG of that name"}), "no DAG of that name"),
        (httpx.Response(409, json={"detail": "it exists"}), "it exists"),
        (httpx.Response(502, text="<html>"), "Airflow responded with status 502"),
    ],
)
def test_start_run_that_airflow_rejects_raises_its_reason(response: httpx.Response, reason: str) -> None:
    with (
        client(lambda request: response) as airflow,
        pytest.raises(StackError, match=rf"^cannot start flights: {reason}$"),
    ):
        start_run(airflow, "flights", {})


def test_run_state_of_an_unreachable_airflow_raises_the_reason() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused")

    with (
        client(refuse) as airflow,
        pytest.raises(StackError, match=r"^cannot look up run: Airflow is unreachable: Connection refused$"),
    ):
        run_state(airflow, "flights", "run")

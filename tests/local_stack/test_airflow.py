"""What is asked of Airflow over HTTP, where a standing one would take too long or be too well."""

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
from quire.errors import StackError
from quire.local_stack.airflow_servers import AirflowServer, run_state, task_states, trigger

HEALTH = {part: {"status": "healthy"} for part in ("metadatabase", "scheduler", "triggerer", "dag_processor")}


@contextmanager
def answering(token: int) -> Iterator[int]:
    """Somebody else's Airflow, as well as can be, that answers with this status to who signs in; gives its port."""

    class Stranger(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, HEALTH)

        def do_POST(self) -> None:
            self._answer(token, {"access_token": "t"})

        def _answer(self, status: int, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(("token", "well"), [(201, True), (401, False)])
def test_airflow_that_does_not_know_our_password_is_not_ours(tmp_path: Path, token: int, well: bool) -> None:
    with answering(token) as port:
        secrets = {"password": "p", "fernet_key": "f", "jwt_secret": "j"}
        server = AirflowServer(tmp_path, database_url="postgresql://", secrets=secrets, environment={}, port=port)
        assert server.well is well


def client(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.Client:
    return httpx.Client(base_url="http://airflow/api/v2", transport=httpx.MockTransport(answer))


def test_tasks_beyond_airflows_page_of_100_are_listed() -> None:
    tasks = [{"task_id": "extract", "map_index": index, "state": "success"} for index in range(230)]

    def answer(request: httpx.Request) -> httpx.Response:
        first, limit = int(request.url.params["offset"]), min(int(request.url.params["limit"]), 100)
        return httpx.Response(200, json={"task_instances": tasks[first : first + limit], "total_entries": len(tasks)})

    with client(answer) as airflow:
        assert [index for _, index, _ in task_states(airflow, "flights", "run")] == list(range(230))


def test_tasks_that_vanish_while_they_are_listed_end_the_list() -> None:
    with client(lambda request: httpx.Response(200, json={"task_instances": [], "total_entries": 5})) as airflow:
        assert task_states(airflow, "flights", "run") == []


def test_refusal_and_silence_of_airflow_are_told_in_one_line() -> None:
    with (
        client(lambda request: httpx.Response(404, text="no DAG of that name")) as airflow,
        pytest.raises(StackError, match=r"^Airflow does not start flights: 404 no DAG of that name$"),
    ):
        trigger(airflow, "flights", {})

    def fall_silent(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused")

    with (
        client(fall_silent) as airflow,
        pytest.raises(StackError, match=r"^Airflow does not answer when asked to tell of run: Connection refused$"),
    ):
        run_state(airflow, "flights", "run")

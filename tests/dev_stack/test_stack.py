"""The stack's commands start the stack, even concurrently, join it, use it and stop it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from quire.dev_stack.airflow_runs import start_run, task_states
from quire.dev_stack.demo import YEAR
from quire.dev_stack.s3_server import TEMPORARY
from quire.dev_stack.stack import AIRFLOW_DATABASE, DEFAULT_PORTS, LocalStack
from quire.object_store.s3_store import S3Store
from quire.settings import DEFAULT_BUCKET, StoreSettings

from tests.dev_stack.commands import (
    FEBRUARY,
    listening,
    pids,
    read_until,
    session_processes,
    start_command,
    still_running,
)
from tests.dev_stack.taken_ports import default_ports_taken

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.usefixtures("servers"),
    pytest.mark.xdist_group("local_stack"),  # these tests share one stack
]

LOOPBACK = "0100007F"
FOREIGN = {  # variables of another project, which must not affect this stack
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "no_proxy": "example.org",
    "AWS_PROFILE": "there-is-none",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "PGSSLMODE": "verify-full",
    "PGOPTIONS": "-c nonsense=1",
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
    "AIRFLOW_CONFIG": "/nowhere/airflow.cfg",
    "QUIRE_BUCKET": "another",
}


@pytest.fixture(scope="module")
def taken(servers: None) -> Iterator[None]:
    """Ensures that all default ports are in use, by this process or by others."""
    with default_ports_taken():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose path contains spaces and is too long for a Unix socket."""
    return tmp_path_factory.mktemp("stack") / ("a clone of somebody who likes long names " + "x" * 100) / ".quire"


@pytest.fixture(scope="module")
def outputs(taken: None, folder: Path) -> Iterator[list[str]]:
    """The output of two concurrent starts during which another process takes the port chosen for Airflow."""
    commands = [start_command("up", folder, environment=FOREIGN) for _ in range(2)]
    try:
        with socket.socket() as thief:
            thief.bind(("127.0.0.1", airflows_port(folder)))
            thief.listen()
            answers = [command.communicate(timeout=240) for command in commands]
        assert [command.returncode for command in commands] == [0, 0], answers
        yield sorted((answer[0] for answer in answers), key=lambda text: "joined" in text)
    finally:
        LocalStack(folder).stop()


def airflows_port(folder: Path) -> int:
    """Returns the port chosen for Airflow, before Airflow listens on it."""
    deadline = time.monotonic() + 60
    while not (folder / "ports.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    port: int = json.loads((folder / "ports.json").read_text())["airflow"]
    return port


@pytest.fixture
def stack(outputs: list[str], folder: Path) -> LocalStack:
    """The running stack."""
    return LocalStack(folder)


def test_concurrent_starts_share_one_stack(outputs: list[str], folder: Path) -> None:
    first, second = outputs
    assert "started in" in first
    assert "joined the running stack" in second
    assert "starting" not in second.replace("starts", "")
    assert first.partition("Airflow  ")[2] == second.partition("Airflow  ")[2] != ""
    assert len(pids(folder)) == 6


def test_ports_in_use_are_reported_and_replaced(outputs: list[str], stack: LocalStack) -> None:
    ports = json.loads((stack.folder / "ports.json").read_text())
    for name, usual in DEFAULT_PORTS.items():
        assert ports[name] != usual
        assert f"port {usual} is in use: {name} uses " in outputs[0]
    port_change = next(line for line in outputs[0].splitlines() if "is now in use" in line)
    assert port_change.endswith(f": airflow uses {ports['airflow']}")


def test_processes_listen_only_on_loopback(stack: LocalStack) -> None:
    processes = session_processes(set(pids(stack.folder).values()))
    assert len(processes) > 6
    sockets = listening(processes)
    assert {address for address, _ in sockets} == {LOOPBACK}
    assert {port for _, port in sockets} >= {stack.postgres.port, stack.s3.port, stack.airflow.port}


def test_secrets_are_private_and_unique_to_the_folder(stack: LocalStack, tmp_path: Path) -> None:
    secrets = json.loads((stack.folder / "secrets.json").read_text())
    other = json.loads((LocalStack(tmp_path / "other").folder / "secrets.json").read_text())
    assert not set(secrets.values()) & set(other.values())
    assert stat.S_IMODE(stack.folder.stat().st_mode) == 0o700
    for path in stack.folder.rglob("*"):
        if path.is_file() and not path.is_relative_to(stack.folder / "postgresql" / "data"):
            text = path.read_text(errors="replace")
            if any(secret in text for secret in secrets.values()):
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_exports_are_printed_and_can_be_sourced(outputs: list[str], stack: LocalStack) -> None:
    sourced = subprocess.run(
        ["sh", "-c", f". {shlex.quote(str(stack.folder / 'environment'))} && env -0"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    variables = dict(pair.partition("=")[::2] for pair in sourced.stdout.split("\0"))
    assert variables["QUIRE_BUCKET"] == DEFAULT_BUCKET
    assert "127.0.0.1" in variables["NO_PROXY"].split(",")  # the shell from which the stack was started sets a proxy
    for name, value in stack.environment().items():
        assert variables[name] == value
        assert f"export {name}={shlex.quote(value)}\n" in outputs[0]
    S3Store(StoreSettings.from_environment(variables)).check()
    with psycopg.connect(variables["AIRFLOW_CONN_QUIRE_SOURCE"]) as connection:
        assert connection.execute("SELECT count(*) FROM flights").fetchone() == (336_776,)


def test_reader_cannot_connect_to_the_airflow_database(stack: LocalStack) -> None:
    url = stack.environment()["AIRFLOW_CONN_QUIRE_SOURCE"].rpartition("/")[0]
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(f"{url}/{AIRFLOW_DATABASE}")


def test_airflow_rejects_anonymous_requests(stack: LocalStack) -> None:
    wrong = {"username": "admin", "password": "admin"}
    with httpx.Client(base_url=stack.airflow.url, timeout=60) as stranger:
        assert stranger.get("/api/v2/dags").status_code == 401
        assert stranger.post("/auth/token", json=wrong).status_code == 401


def wait_for_extract(stack: LocalStack) -> None:
    """Waits until an extract task in the newest manual run is running."""
    query: dict[str, str | int] = {"order_by": "-id", "run_type": "manual", "limit": 1}
    deadline = time.monotonic() + 120
    with stack.airflow.client() as client:
        (run,) = client.get("/dags/flights/dagRuns", params=query).raise_for_status().json()["dag_runs"]
        while ("extract", "running") not in [
            (task, state) for task, _, state in task_states(client, "flights", run["dag_run_id"])
        ]:
            assert time.monotonic() < deadline, run
            time.sleep(0.2)


def test_demo_in_a_joined_stack_saves_files_and_leaves_it_running(stack: LocalStack, tmp_path: Path) -> None:
    before = pids(stack.folder)
    demo = start_command("demo", stack.folder, out=tmp_path / "out")
    output, errors = demo.communicate(timeout=180)
    assert demo.returncode == 0, errors
    names = ["flights_2013-02.xlsx", "flights_2013-02_summary.xlsx"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert [line for line in output.splitlines() if ": 1 of 1" in line] == [
        f"{stage}: 1 of 1" for stage in ("plan", "extract", "layout", "aggregate", "render", "publish")
    ]
    assert "flights_2013-02.xlsx  24,951 rows  2.9 MB" in output
    links = [line for line in output.splitlines() if line.startswith("http")]
    assert [httpx.get(link).content for link in links] == [(tmp_path / "out" / name).read_bytes() for name in names]
    assert (pids(stack.folder), stack.running) == (before, True)


def test_demo_that_fails_prints_task_reason_and_log_in_one_line(stack: LocalStack, tmp_path: Path) -> None:
    demo = start_command("demo", stack.folder, out=tmp_path / "out", request={**FEBRUARY, "carier": "AA"})
    _, errors = demo.communicate(timeout=120)
    assert demo.returncode == 1
    assert len(errors.splitlines()) == 1
    assert errors.startswith("quire: task plan of run manual__")
    assert "failed: flights: unknown parameter 'carier'; did you mean carrier? (" in errors
    log = Path(errors.rpartition("(")[2].rstrip(")\n"))
    assert "carier" in log.read_text()
    assert stack.running
    assert not (tmp_path / "out").exists()


def test_interrupted_demo_stops_its_run_and_leaves_a_joined_stack(stack: LocalStack, tmp_path: Path) -> None:
    demo = start_command("demo", stack.folder, out=tmp_path / "out", request=YEAR)
    read_until(demo, "plan: 1 of 1")
    wait_for_extract(stack)  # between two tasks, Airflow's scheduler may complete a run while it is being marked failed
    demo.send_signal(signal.SIGINT)
    _, errors = demo.communicate(timeout=60)
    assert (demo.returncode, errors) == (130, "quire: interrupted\n")
    with stack.airflow.client() as client:
        runs = client.get("/dags/flights/dagRuns", params={"order_by": "-id", "run_type": "manual"}).json()["dag_runs"]
        assert runs[0]["conf"]["end"] == "2013-12-31"
        assert runs[0]["state"] == "failed"
    assert stack.running


def test_demo_reports_a_dead_airflow_and_the_next_start_restores_it(stack: LocalStack, tmp_path: Path) -> None:
    before = pids(stack.folder)
    scheduler = before.pop("scheduler.pid.json")
    demo = start_command("demo", stack.folder, out=tmp_path / "out", request=YEAR)
    read_until(demo, "plan: 1 of 1")
    orphans = session_processes({scheduler})
    assert len(orphans) > 4  # its workers
    os.kill(scheduler, signal.SIGKILL)
    _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert errors.startswith("quire: scheduler exited: ")
    assert len(errors.splitlines()) == 1
    assert not stack.running
    again = LocalStack(stack.folder)
    again.start()
    assert (again.running, again.started) == (True, False)
    assert still_running(orphans) == set()
    after = pids(stack.folder)
    assert after.pop("scheduler.pid.json") != scheduler
    assert after == before


def test_down_stops_running_tasks_and_leaves_nothing(outputs: list[str], stack: LocalStack) -> None:
    """This must be the last test that uses the shared stack, because it stops the stack."""
    with stack.airflow.client() as client:
        start_run(client, "flights", {**YEAR, "force": True, "fan_out": True})
    wait_for_extract(stack)
    processes = session_processes(set(pids(stack.folder).values()))
    record = json.loads((stack.folder / "s3" / "sockets.json").read_text())
    sockets = [Path(record["folder"]), *(TEMPORARY / name for name in record["grpc"])]
    assert all(path.exists() for path in sockets)
    began = time.monotonic()
    down = start_command("down", stack.folder)
    assert down.communicate(timeout=90) == ("stopped\n", "")
    assert time.monotonic() - began < 40
    assert still_running(processes) == set()
    assert not any(path.exists() for path in sockets)
    assert pids(stack.folder) == {}
    assert start_command("down", stack.folder).communicate(timeout=30) == ("nothing was running\n", "")


def test_interrupted_up_stops_what_it_started(tmp_path: Path) -> None:
    up = start_command("up", tmp_path / "stack")
    read_until(up, "starting Airflow")
    servers = session_processes(set(pids(tmp_path / "stack").values()))
    assert len(servers) > 2
    up.send_signal(signal.SIGTERM)
    up.send_signal(signal.SIGINT)  # a second signal, as if from an impatient user
    _, errors = up.communicate(timeout=90)
    assert (up.returncode, errors) == (130, "quire: interrupted\n")
    assert still_running(servers) == set()
    assert pids(tmp_path / "stack") == {}

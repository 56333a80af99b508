"""In a fast run, tests cannot start servers in any way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from quire.settings import CLONE

from tests.fast_mode import REASON, ensure_server_modules_use_servers

TESTS = """
import subprocess

def test_plain(): pass
def test_bucket(bucket): pass
def test_hidden_fixture(request): request.getfixturevalue("postgres_server")

def test_soffice(): subprocess.run(["soffice"])
def test_prefix(): subprocess.run(["unshare", "/usr/lib/postgresql/bin/postgres", "-D", "."])
"""
STACK_TESTS = """
def test_postgresql(tmp_path):
    from quire.dev_stack.postgres_server import PostgresServer
    PostgresServer(tmp_path, password="a").start()

def test_s3(tmp_path):
    from quire.dev_stack.s3_server import S3Server
    S3Server(tmp_path, secret_key="a").start()

def test_airflow(tmp_path):
    from quire.dev_stack.airflow_servers import AirflowServer
    secrets = dict.fromkeys(["password", "fernet_key", "jwt_secret"], "a")
    AirflowServer(tmp_path, database_url="postgresql://", secrets=secrets, environment={}).start()
"""


def run_fast(folder: Path, tests: str) -> str:
    """Runs tests in a fast run in a new process, and returns its output."""
    (folder / "test_made.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "--fast", "-n", "0", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, "-c", CLONE / "pyproject.toml", "--rootdir", folder, folder],
        env={**os.environ, "PYTHONPATH": f"{CLONE / 'plugins'}:{CLONE}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    ).stdout


def test_fast_run_blocks_servers_and_deselects_their_tests(tmp_path: Path) -> None:
    for number, mark in enumerate(("server", 'usefixtures("servers")')):
        (tmp_path / f"test_{number}.py").write_text(f"pytestmark = pytest.mark.{mark}\nraise SystemExit")
    output = run_fast(tmp_path, TESTS)
    assert "1 deselected" in output, output
    assert "1 passed" in output
    assert "3 failed" in output
    for program in ("soffice", "postgres"):
        assert f"RuntimeError: {program}: {REASON}" in output
    assert f"Failed: {REASON}" in output or f"\n{REASON}" in output  # from the fixture


@pytest.mark.usefixtures("servers")  # a fast run need not import the stack
def test_fast_run_blocks_every_server_of_the_local_stack(tmp_path: Path) -> None:
    output = run_fast(tmp_path, STACK_TESTS)
    assert "3 failed" in output, output
    for program in ("initdb", "weed", "airflow"):
        assert f"RuntimeError: {program}: {REASON}" in output


def test_module_marked_server_with_a_test_that_needs_none_is_rejected() -> None:
    def item(*marks: pytest.MarkDecorator, fixtures: list[str]) -> Any:
        module = SimpleNamespace(own_markers=[mark.mark for mark in marks])
        return SimpleNamespace(nodeid="t.py::test", fixturenames=fixtures, getparent=lambda _: module)

    ensure_server_modules_use_servers([item(pytest.mark.server, fixtures=["servers"]), item(fixtures=[])])
    with pytest.raises(pytest.UsageError, match=r"^t.py::test needs no server"):
        ensure_server_modules_use_servers([item(pytest.mark.server, fixtures=["tmp_path"])])

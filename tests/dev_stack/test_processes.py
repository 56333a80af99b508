"""A server is identified by its pid and start time, so an unrelated process is never stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from quire.dev_stack.process_table import NICE
from quire.dev_stack.processes import Server
from quire.errors import StackError

from tests.dev_stack.commands import still_running
from tests.polling import wait_until

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print(child.pid, flush=True); time.sleep(60)",
]


FORGETFUL = [  # the server's child has its own process group, like Airflow's tasks
    sys.executable,
    "-c",
    "import subprocess, sys, time;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], process_group=0);"
    "print(child.pid, flush=True); time.sleep(60)",
]
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def start_with_child(server: Server, command: list[str]) -> tuple[int, int]:
    """Starts a server that prints its child's pid, and returns both pids."""
    server.start(command)
    server.wait(lambda: server.log.read_text().strip().isdigit(), seconds=20)
    pid: int = json.loads(next(server.log.parent.glob("*.pid.json")).read_text())["pid"]
    return pid, int(server.log.read_text())


def test_server_outlives_its_starter_and_is_found_again(tmp_path: Path) -> None:
    Server("sleeper", tmp_path).start(SLEEP)
    again = Server("sleeper", tmp_path)
    try:
        assert again.running
        again.wait(lambda: "up" in again.log.read_text(), seconds=20)
    finally:
        again.stop()
    assert not again.running
    assert not Server("sleeper", tmp_path).running


def test_server_does_not_ignore_sigint_even_if_its_starter_does(tmp_path: Path) -> None:
    server = Server("printer", tmp_path)
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a shell's background job
    try:
        server.start([sys.executable, "-c", "import signal; print(signal.getsignal(signal.SIGINT))"])
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, handler)
    wait_until(lambda: server.log.read_text().endswith("\n"))
    assert "default_int_handler" in server.log.read_text()


def test_server_that_is_not_urgent_has_a_lower_priority(tmp_path: Path) -> None:
    server = Server("sleeper", tmp_path)
    server.start(SLEEP, is_urgent=False)
    try:
        pid = json.loads((tmp_path / "sleeper.pid.json").read_text())["pid"]
        assert os.getpriority(os.PRIO_PROCESS, pid) == NICE
        group = Path(f"/proc/{pid}/autogroup")
        assert not group.exists() or group.read_text().endswith(f"nice {NICE}\n")
    finally:
        server.stop()


def test_second_start_starts_nothing(tmp_path: Path) -> None:
    server = Server("sleeper", tmp_path)
    server.start(SLEEP)
    record = (tmp_path / "sleeper.pid.json").read_text()
    try:
        Server("sleeper", tmp_path).start(SLEEP)
        assert (tmp_path / "sleeper.pid.json").read_text() == record
    finally:
        server.stop()


def test_stale_record_of_a_reused_pid_stops_nothing(tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "60"])
    try:
        (tmp_path / "server.pid.json").write_text(json.dumps({"pid": other.pid, "started": "1"}))
        server = Server("server", tmp_path)
        assert not server.running
        server.stop()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@linux
def test_server_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    server = Server("stubborn", tmp_path)
    both = set(start_with_child(server, STUBBORN))
    assert still_running(both) == both
    server.stop(seconds=0.5)
    assert not server.running
    assert still_running(both) == set()


@linux
def test_children_in_other_process_groups_are_stopped_too(tmp_path: Path) -> None:
    server = Server("forgetful", tmp_path)
    both = set(start_with_child(server, FORGETFUL))
    server.stop(seconds=10)
    assert still_running(both) == set()


@linux
@pytest.mark.parametrize("again", [False, True], ids=["stop", "start"])
def test_orphans_of_a_killed_server_are_stopped(tmp_path: Path, again: bool) -> None:
    server = Server("forgetful", tmp_path)
    pid, child = start_with_child(server, FORGETFUL)
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert not server.running
    assert still_running({child}) == {child}
    if again:
        server.start(SLEEP)
        assert server.running
    assert still_running({child}) == (set() if again else {child})
    server.stop()
    assert still_running({child}) == set()


@linux
def test_orphans_of_another_folder_keep_running(tmp_path: Path) -> None:
    """For example, a record from before the last boot may contain an unrelated process's session ID."""
    elsewhere, mine = tmp_path / "elsewhere", tmp_path / "mine"
    mine.mkdir()
    other = Server("forgetful", elsewhere)
    pid, child = start_with_child(other, FORGETFUL)
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        shutil.copy(elsewhere / "forgetful.pid.json", mine)
        Server("forgetful", mine).stop()
        assert still_running({child}) == {child}
    finally:
        other.stop()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": "x", "started": "1"}', "null"])
def test_invalid_record_means_no_server(tmp_path: Path, text: str) -> None:
    (tmp_path / "torn.pid.json").write_text(text)
    server = Server("torn", tmp_path)
    assert not server.running
    server.start(SLEEP)
    assert server.running
    server.stop()


def test_server_that_exits_raises_an_error_with_its_last_line(tmp_path: Path) -> None:
    server = Server("broken", tmp_path)
    server.start([sys.executable, "-c", "print('first'); raise SystemExit('no such disk')"])
    with pytest.raises(StackError, match=r"broken exited: no such disk \(.*broken\.log\)"):
        server.wait(lambda: False, seconds=20)


def test_start_of_a_missing_program_raises_an_error(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="nothing cannot be started"):
        Server("nothing", tmp_path).start([str(tmp_path / "there-is-none")])


def test_exited_child_does_not_count_as_running(tmp_path: Path) -> None:
    server = Server("short", tmp_path)
    server.start([sys.executable, "-c", "pass"])
    pid = json.loads((tmp_path / "short.pid.json").read_text())["pid"]
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert not server.running

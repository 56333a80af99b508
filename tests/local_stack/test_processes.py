"""A server is known by pid and start time: what is not ours is never stopped."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from quire.errors import StackError
from quire.local_stack.ports import free_port
from quire.local_stack.processes import Server

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print(child.pid, flush=True); time.sleep(60)",
]


def exists(pid: int) -> bool:
    """Whether a process is there and not a dead one that nobody has asked for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


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


def test_second_start_starts_nothing(tmp_path: Path) -> None:
    server = Server("sleeper", tmp_path)
    server.start(SLEEP)
    record = (tmp_path / "sleeper.pid.json").read_text()
    try:
        Server("sleeper", tmp_path).start(SLEEP)
        assert (tmp_path / "sleeper.pid.json").read_text() == record
    finally:
        server.stop()


def test_stale_record_of_a_pid_that_is_another_process_now_stops_nothing(tmp_path: Path) -> None:
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


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_server_that_does_not_listen_is_stopped_by_force_with_its_children(tmp_path: Path) -> None:
    server = Server("stubborn", tmp_path)
    server.start(STUBBORN)
    server.wait(lambda: server.log.read_text().strip().isdigit(), seconds=20)
    child = int(server.log.read_text())
    assert exists(child)
    server.stop(seconds=0.2)
    assert not server.running
    assert not exists(child)


def test_server_that_ends_at_once_is_told_with_its_last_line(tmp_path: Path) -> None:
    server = Server("broken", tmp_path)
    server.start([sys.executable, "-c", "print('first'); raise SystemExit('no such disk')"])
    with pytest.raises(StackError, match=r"broken ended: no such disk \(.*broken\.log\)"):
        server.wait(lambda: False, seconds=20)


def test_program_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="nothing cannot be started"):
        Server("nothing", tmp_path).start([str(tmp_path / "there-is-none")])


def test_taken_port_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) != port
    assert free_port(port) == port


def test_child_of_ours_that_died_does_not_count_as_running(tmp_path: Path) -> None:
    server = Server("short", tmp_path)
    server.start([sys.executable, "-c", "pass"])
    pid = json.loads((tmp_path / "short.pid.json").read_text())["pid"]
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert not server.running

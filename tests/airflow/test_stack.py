"""A second start joins the running local stack, and the stack's servers listen only on loopback."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
from quire.dev_stack.stack import LocalStack

LOOPBACK = "0100007F"
LISTENING = "0A"


def records(stack: LocalStack) -> dict[str, str]:
    return {path.name: path.read_text() for path in stack.folder.glob("*/*.pid.json")}


def test_second_start_joins_the_running_stack(running_stack: LocalStack) -> None:
    before = records(running_stack)
    messages: list[str] = []
    again = LocalStack(running_stack.folder, log=messages.append)
    assert again.running
    again.start()
    assert records(running_stack) == before
    assert len(before) == 6
    assert (again.airflow.url, again.s3.endpoint_url) == (running_stack.airflow.url, running_stack.s3.endpoint_url)
    assert messages == []


def test_secrets_are_readable_only_by_their_owner(running_stack: LocalStack) -> None:
    secrets = json.loads((running_stack.folder / "secrets.json").read_text())
    assert len(set(secrets.values())) == len(secrets)
    for name in ("secrets.json", "environment", "s3/s3.json", "airflow/passwords.json"):
        assert (running_stack.folder / name).stat().st_mode & 0o077 == 0, name


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_owner_connection_is_only_in_the_scheduler_environment(running_stack: LocalStack) -> None:
    leaders = {name.removesuffix(".pid.json"): json.loads(text)["pid"] for name, text in records(running_stack).items()}
    environments = {name: Path(f"/proc/{pid}/environ").read_bytes() for name, pid in leaders.items()}
    assert {"scheduler", "api-server", "dag-processor", "triggerer"} < set(environments)
    assert [name for name, text in environments.items() if b"AIRFLOW_CONN_QUIRE_OWNER=" in text] == ["scheduler"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_processes_listen_only_on_loopback(running_stack: LocalStack) -> None:
    leaders = {json.loads(text)["pid"] for text in records(running_stack).values()}
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and session_of(path) in leaders]
    inodes = {inode for pid in pids for inode in socket_inodes(pid)}
    addresses = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and fields[9] in inodes:
                addresses.add(fields[1].partition(":")[0])
    assert addresses == {LOOPBACK}


def session_of(process: Path) -> int | None:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[3])
    except OSError:  # the process has already exited
        return None


def socket_inodes(pid: int) -> list[str]:
    try:
        links = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return []
    return [match[1] for link in links if (match := re.fullmatch(r"socket:\[(\d+)\]", link))]

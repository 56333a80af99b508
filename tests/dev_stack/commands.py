"""Runs, in a temporary folder, the commands behind ``make up``, ``make down`` and ``make demo``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from quire.settings import CLONE

CODE = """
import json
import sys
from pathlib import Path
from quire.dev_stack.__main__ import main
command, folder, out, request = sys.argv[1:]
sys.exit(main([command], folder=Path(folder), out=Path(out), request=json.loads(request)))
"""
FEBRUARY = {"start": "2013-02-01", "end": "2013-02-28"}


def start_command(
    command: str,
    folder: Path,
    *,
    out: Path | None = None,
    request: Mapping[str, str] = FEBRUARY,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """Starts a command. Only the demo uses ``request``."""
    return subprocess.Popen(
        [sys.executable, "-c", CODE, command, str(folder), str(out or folder / "out"), json.dumps(request)],
        env={**os.environ, "PYTHONPATH": str(CLONE / "plugins"), **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_until(process: subprocess.Popen[str], beginning: str) -> None:
    """Reads a command's output up to the first line that starts with ``beginning``."""
    assert process.stdout
    for line in process.stdout:
        if line.startswith(beginning):
            return
    raise AssertionError(process.stderr.read() if process.stderr else "")


def pids(folder: Path) -> dict[str, int]:
    """Returns the pid that each server recorded in a stack's folder."""
    return {path.name: json.loads(path.read_text())["pid"] for path in sorted(folder.glob("*/*.pid.json"))}


def session_processes(leaders: set[int]) -> set[int]:
    """Returns all live processes in these leaders' sessions, and the processes' descendants in other sessions."""
    table = _living()
    members = {pid for pid, (_, leader) in table.items() if leader in leaders}
    while more := {pid for pid, (parent, _) in table.items() if parent in members} - members:
        members |= more
    return members


def still_running(processes: set[int]) -> set[int]:
    """Returns the processes that are still running; zombies are excluded."""
    return processes & _living().keys()


def _living() -> dict[int, tuple[int, int]]:
    """Returns every live process's parent and session."""
    table = {}
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if entry.name.isdigit() and fields[0] not in "ZX":
            table[int(entry.name)] = (int(fields[1]), int(fields[3]))
    return table


def listening(processes: set[int]) -> set[tuple[str, int]]:
    """Returns the address (in the kernel's notation) and port of each socket that the processes listen on."""
    inodes = set()
    for pid in processes:
        for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                inodes.add(os.readlink(descriptor).removeprefix("socket:[").removesuffix("]"))
            except OSError:
                continue
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, _, port = fields[1].rpartition(":")
                sockets.add((address, int(port, 16)))
    return sockets

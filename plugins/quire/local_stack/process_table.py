"""What the kernel knows of processes: when they began, and which session they belong to.

A task of Airflow's has a process group of its own, and yet the session of the scheduler that started it: sessions, not
groups, are what a server can be stopped by. The kernel gives no pid away while it names a session that has members.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")
HAS_PROC = (PROC / "self" / "stat").exists()  # Linux; elsewhere ps(1) is asked
BOOT = PROC / "sys" / "kernel" / "random" / "boot_id"


def start_time(pid: int) -> str | None:
    """Returns when a process began, in words that no other process of this pid has, or None where it is gone."""
    if not HAS_PROC:
        return _ask_ps("-o", "lstart=", "-p", str(pid)).strip() or None
    fields = _stat(pid)
    if not fields or fields[0] in "ZX":
        return None
    boot = BOOT.read_text().strip() if BOOT.exists() else ""  # ticks count from there
    return f"{boot} {fields[19]}"  # proc(5): starttime is field 22, and pid and name are cut off here


def session_members(leader: int) -> list[int]:
    """Returns the pids of a session, the leader's among them while it lives."""
    if HAS_PROC:
        pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
        return [pid for pid in pids if (fields := _stat(pid)) and fields[3] == str(leader) and fields[0] not in "ZX"]
    listed = [line.split() for line in _ask_ps("-axo", "pid=,stat=").splitlines()]
    return [int(pid) for pid, state, *_ in listed if not state.startswith("Z") and _session(int(pid)) == leader]


def work_in(pids: Iterable[int], folder: Path) -> bool:
    """Whether one of the processes has ``folder`` as its working directory; never, where that cannot be known."""
    return any(_working_folder(pid) == str(folder.resolve()) for pid in pids)


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Sends a signal to processes of ours; those that are gone are no error."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def reap(pid: int) -> None:
    """Takes note of a child's end, so that it leaves the table; does nothing where it is nobody's or lives."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # another process of ours started it
        return


def _stat(pid: int) -> list[str] | None:
    """Returns what follows pid and name: state, parent, group, session and more."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _working_folder(pid: int) -> str | None:
    try:
        return os.readlink(PROC / str(pid) / "cwd")
    except OSError:
        return None


def _ask_ps(*arguments: str) -> str:
    return subprocess.run(["ps", *arguments], capture_output=True, text=True, check=False).stdout

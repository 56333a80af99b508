"""Reads processes' start times and sessions from the kernel's process table.

An Airflow task has its own process group but shares a session with the scheduler that started it. The stack therefore
stops a server by its session, not by its group. As long as a session has members, the kernel does not reuse the pid
that identifies the session.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
HAS_PROC = (PROC / "self" / "stat").exists()  # Linux has /proc; on other systems, this module uses ps(1)
NICE = 10  # a process gets about a tenth of the CPU time of one with the usual priority
BOOT = PROC / "sys" / "kernel" / "random" / "boot_id"


def start_time(pid: int) -> str | None:
    """Returns a string that distinguishes a process from others with the same pid, or None after its exit."""
    if not HAS_PROC:
        return _run_ps("-o", "lstart=", "-p", str(pid)).strip() or None
    fields = _stat(pid)
    if not fields or fields[0] in "ZX":
        return None
    boot = BOOT.read_text().strip() if BOOT.exists() else ""  # the kernel counts start times from boot
    return f"{boot} {fields[19]}"  # field 22 (starttime) in proc(5); _stat removes the pid and name


def session_members(leader: int) -> list[int]:
    """Returns the pids of a session's processes, including the leader's if it is alive."""
    if HAS_PROC:
        pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
        return [pid for pid in pids if (fields := _stat(pid)) and fields[3] == str(leader) and fields[0] not in "ZX"]
    processes = [line.split() for line in _run_ps("-axo", "pid=,stat=").splitlines()]
    return [int(pid) for pid, state, *_ in processes if not state.startswith("Z") and _session(int(pid)) == leader]


def work_in(pids: Iterable[int], folder: Path) -> bool:
    """Returns whether a process has ``folder`` as its working directory. Returns False on systems without /proc."""
    return any(_working_folder(pid) == str(folder.resolve()) for pid in pids)


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Sends a signal to processes. Ignores processes that have exited."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def lower_priority(pid: int) -> None:
    """Gives a process, and those that it starts later, less CPU time than others want at the same time.

    Linux usually shares the CPU among sessions (sched(7), "The autogroup feature"), so a process's own priority has no
    effect on other sessions.
    """
    with suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, NICE)
    with suppress(OSError):  # the kernel has no autogroups, or the process has exited
        (PROC / str(pid) / "autogroup").write_text(str(NICE))


def reap(pid: int) -> None:
    """Reaps a child process if it has exited."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # ``pid`` is not a child of this process
        return


def _stat(pid: int) -> list[str] | None:
    """Returns a process's ``stat`` fields after the pid and name: state, parent, group, session and others."""
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


def _run_ps(*arguments: str) -> str:
    return subprocess.run(["ps", *arguments], capture_output=True, text=True, check=False).stdout

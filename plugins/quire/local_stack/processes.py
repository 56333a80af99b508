"""Servers as processes of their own, known by what cannot be mistaken for another: pid and start time."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from quire.errors import StackError

LOOPBACK = "127.0.0.1"
RECORD = ".pid.json"


class Server:
    """A process in a session of its own, with a log and a record, both named for it, in ``folder``.

    Args:
        name: of the server, in messages and file names.
        folder: where log and record lie.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._record = folder / f"{name}{RECORD}"

    @property
    def running(self) -> bool:
        """Whether the process that was started is still there, and not another of the same pid."""
        return self._pid() is not None

    def start(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Starts the process, unless it runs.

        Raises:
            StackError: the program cannot be started.
        """
        if self.running:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self.log.open("ab") as log:
                process = subprocess.Popen(
                    command,
                    env={**os.environ, **(environment or {})},
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            raise StackError(f"{self.name} cannot be started: {error}") from error
        self._record.write_text(json.dumps({"pid": process.pid, "started": _start_time(process.pid)}))

    def wait(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Returns once ``ready`` says so.

        Raises:
            StackError: the process ended before, or took too long; with the log's last line.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise StackError(f"{self.name} ended at once: {self._last_line()} ({self.log})")
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} is not ready after {seconds:.0f} s: {self._last_line()} ({self.log})")
            time.sleep(0.1)

    def stop(self, stop_signal: signal.Signals = signal.SIGTERM, *, seconds: float = 15) -> None:
        """Stops the process and all it has started; by force after ``seconds``."""
        pid = self._pid()
        if pid is not None:
            _send(pid, stop_signal)
            deadline = time.monotonic() + seconds
            while self.running and time.monotonic() < deadline:
                time.sleep(0.05)
            if stop_signal is not signal.SIGQUIT:
                _send_group(pid, signal.SIGKILL)  # children that outlived it, or itself
            while self.running:
                time.sleep(0.05)
        self._record.unlink(missing_ok=True)

    def _pid(self) -> int | None:
        try:
            record = json.loads(self._record.read_text())
        except (OSError, ValueError):
            return None
        pid = int(record["pid"])
        _reap(pid)
        started = _start_time(pid)
        return pid if started is not None and started == record["started"] else None

    def _last_line(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1][-300:] if lines else "it said nothing"


def any_running(folder: Path) -> bool:
    """Whether a server with a record in a folder below ``folder`` runs."""
    records = folder.glob(f"*/*{RECORD}")
    return any(Server(record.name.removesuffix(RECORD), record.parent).running for record in records)


def free_port(preferred: int | None = None) -> int:
    """Returns a free port on loopback: the preferred one where nobody listens there."""
    for port in (preferred, 0) if preferred else (0,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StackError("there is no free port on 127.0.0.1")


def _start_time(pid: int) -> str | None:
    """Returns when a process was started, as the kernel has it, or None where there is none (or a dead one)."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]  # proc(5): starttime is field 22
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # another process of ours started it
        return


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _send_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return

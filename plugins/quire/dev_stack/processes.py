"""Runs servers as separate processes, identified by pid and start time because the kernel reuses pids."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from quire.dev_stack.environment import own_environment
from quire.dev_stack.process_table import lower_priority, reap, send, session_members, start_time, work_in
from quire.dev_stack.signals import defer_stop_signals
from quire.errors import StackError
from quire.settings import process_environment

RECORD = ".pid.json"
KILL_TIMEOUT = 10  # seconds; a process that is still running after SIGKILL is stuck in the kernel


class Server:
    """A process in its own session, whose pid is recorded in a file.

    Args:
        name: used in messages and in the log's and record's file names.
        folder: the process's working directory; also holds the log and the record.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._folder = folder
        self._record = folder / f"{name}{RECORD}"
        self._log_offset = 0

    @property
    def running(self) -> bool:
        """Whether the recorded process is running. A different process with a reused pid does not count."""
        return self._alive(*self._read_record())

    def start(
        self, command: Sequence[str], *, environment: Mapping[str, str] | None = None, is_urgent: bool = True
    ) -> None:
        """Starts the process unless it is running.

        Args:
            command: the program and its arguments.
            environment: additional environment variables.
            is_urgent: whether the process competes for the CPU with the same priority as other servers.

        Raises:
            StackError: the program cannot be started.
        """
        if self.running:
            return
        self._stop_orphans()
        self._folder.mkdir(parents=True, exist_ok=True)
        with defer_stop_signals():  # a process that is not recorded cannot be stopped later
            try:
                with self.log.open("ab") as log:
                    self._log_offset = log.tell()
                    process = subprocess.Popen(
                        command,
                        env={**own_environment(process_environment()), **(environment or {})},
                        cwd=self._folder,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
            except OSError as error:
                raise StackError(f"{self.name} cannot be started: {error}") from error
            self._write_record(process.pid)
        if not is_urgent:
            lower_priority(process.pid)

    def wait(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Waits until ``ready`` returns True.

        Raises:
            StackError: the process exited or was not ready in time. The message contains the log's last line.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            self.ensure_running()
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} was not ready after {seconds:.0f} s: {self._last_line()} ({self.log})")
            time.sleep(0.1)

    def ensure_running(self) -> None:
        """Checks that the process is running.

        Raises:
            StackError: the process has exited. The message contains the log's last line.
        """
        if not self.running:
            raise StackError(f"{self.name} exited: {self._last_line()} ({self.log})")

    def log_lines(self) -> list[str]:
        """Returns the lines logged since ``start`` launched the process; the entire log if it was already running."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._log_offset)
                return log.read().decode(errors="replace").strip().splitlines()
        except OSError:
            return []

    def stop(self, stop_signal: signal.Signals = signal.SIGTERM, *, seconds: float = 15) -> None:
        """Stops every process in the session, and kills any that are still running after ``seconds``."""
        self.send_stop_signal(stop_signal)
        self.wait_until_stopped(seconds=seconds)

    def send_stop_signal(self, stop_signal: signal.Signals = signal.SIGTERM) -> None:
        """Sends the process a signal, and does not wait for it to exit."""
        pid, started = self._read_record()
        if self._alive(pid, started):
            send([pid], stop_signal)

    def wait_until_stopped(self, *, seconds: float) -> None:
        """Waits until every process in the session has exited.

        The server may wait for other processes in its session, as a scheduler waits for its tasks. The other processes
        receive SIGTERM when the server has exited, or after a third of ``seconds``. Processes that are still running
        after ``seconds`` are killed.

        Raises:
            StackError: a process is still running after SIGKILL.
        """
        pid, _ = self._read_record()
        started_at = time.monotonic()
        terminated = killed = False
        while members := self._members():
            elapsed = time.monotonic() - started_at
            if elapsed > seconds + KILL_TIMEOUT:
                raise StackError(f"{self.name} cannot be stopped: processes {members} are still running after SIGKILL")
            if elapsed > seconds and not killed:
                killed = True
                send(members, signal.SIGKILL)
            elif not terminated and (pid not in members or elapsed > seconds / 3):
                terminated = True
                send([member for member in members if member != pid], signal.SIGTERM)
            time.sleep(0.05)
        self._record.unlink(missing_ok=True)

    def _stop_orphans(self) -> None:
        """Stops processes that outlived their server, such as a killed scheduler's tasks."""
        if self._members():
            self.wait_until_stopped(seconds=5)

    def _members(self) -> list[int]:
        """Returns the pids in the server's session; none if another session may have reused its ID."""
        pid, started = self._read_record()
        if not pid:
            return []
        if self._alive(pid, started):
            return [pid, *(member for member in session_members(pid) if member != pid)]
        if start_time(pid) is not None:  # the pid was reused, so the session has ended
            return []
        orphans = session_members(pid)
        return orphans if work_in(orphans, self._folder) else []

    def _alive(self, pid: int, started: str) -> bool:
        if not pid:
            return False
        reap(pid)
        return start_time(pid) == started

    def _read_record(self) -> tuple[int, str]:
        """Returns the pid and start time from the record; the pid is 0 if there is no record."""
        try:
            record = json.loads(self._record.read_text())
            return int(record["pid"]), str(record["started"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return 0, ""

    def _write_record(self, pid: int) -> None:
        part = self._record.with_suffix(".part")
        part.write_text(json.dumps({"pid": pid, "started": start_time(pid)}))
        part.replace(self._record)

    def _last_line(self) -> str:
        lines = self.log_lines()
        return lines[-1][-300:] if lines else "its log is empty"


def any_running_in(folder: Path) -> bool:
    """Returns whether any server with a record in ``folder`` is running."""
    return any(Server(record.name.removesuffix(RECORD), folder).running for record in folder.glob(f"*{RECORD}"))

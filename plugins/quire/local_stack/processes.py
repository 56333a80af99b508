"""Servers as processes of their own, known by what cannot be mistaken for another: pid and start time."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from quire.errors import StackError
from quire.local_stack.environment import own_environment
from quire.local_stack.process_table import reap, send, session_members, start_time, work_in
from quire.local_stack.signals import uninterrupted
from quire.settings import process_environment

RECORD = ".pid.json"
SECONDS_TO_DIE = 10  # of a killed process: more, and it hangs in the kernel


class Server:
    """A process in a session of its own, with a log and a record, both named for it, in ``folder``.

    Args:
        name: of the server, in messages and file names.
        folder: where log and record lie, and where it works.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._folder = folder
        self._record = folder / f"{name}{RECORD}"

    @property
    def running(self) -> bool:
        """Whether the process that was started is still there, and not another of the same pid."""
        return self._alive(*self._known())

    def start(self, command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
        """Starts the process, unless it runs.

        Raises:
            StackError: the program cannot be started.
        """
        if self.running:
            return
        self._finish_orphans()
        self._folder.mkdir(parents=True, exist_ok=True)
        with uninterrupted():  # what is started is written down
            try:
                with self.log.open("ab") as log:
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

    def wait(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Returns once ``ready`` says so.

        Raises:
            StackError: the process ended before, or took too long; with the log's last line.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            self.require()
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} is not ready after {seconds:.0f} s: {self._last_line()} ({self.log})")
            time.sleep(0.1)

    def require(self) -> None:
        """Raises StackError, with the log's last line, where the process is gone."""
        if not self.running:
            raise StackError(f"{self.name} ended: {self._last_line()} ({self.log})")

    def stop(self, stop_signal: signal.Signals = signal.SIGTERM, *, seconds: float = 15) -> None:
        """Stops the process and all of its session; by force after ``seconds``."""
        self.ask_to_stop(stop_signal)
        self.finish(seconds=seconds)

    def ask_to_stop(self, stop_signal: signal.Signals = signal.SIGTERM) -> None:
        """Sends the process the signal on which it ends, and does not wait."""
        pid, started = self._known()
        if self._alive(pid, started):
            send([pid], stop_signal)

    def finish(self, *, seconds: float) -> None:
        """Waits until nothing of the session is left.

        After a third of ``seconds``, or once the process itself is gone, the others are asked to end too, such as tasks
        that a scheduler would wait for; after all of them, what is left is ended by force.

        Raises:
            StackError: a process does not even end by force.
        """
        pid, _ = self._known()
        began = time.monotonic()
        asked = forced = False
        while members := self._members():
            passed = time.monotonic() - began
            if passed > seconds + SECONDS_TO_DIE:
                raise StackError(f"{self.name} cannot be ended: the processes {members} do not answer to the kernel")
            if passed > seconds and not forced:
                forced = True
                send(members, signal.SIGKILL)
            elif not asked and (pid not in members or passed > seconds / 3):
                asked = True
                send([member for member in members if member != pid], signal.SIGTERM)
            time.sleep(0.05)
        self._record.unlink(missing_ok=True)

    def _finish_orphans(self) -> None:
        """Ends what a process that died left behind, such as tasks of a killed scheduler."""
        if self._members():
            self.finish(seconds=5)

    def _members(self) -> list[int]:
        """Returns the pids of the process's session, in so far as it is certain to be that one."""
        pid, started = self._known()
        if not pid:
            return []
        if self._alive(pid, started):
            return [pid, *(member for member in session_members(pid) if member != pid)]
        if start_time(pid) is not None:  # another process has the pid: so the session is gone
            return []
        orphans = session_members(pid)
        return orphans if work_in(orphans, self._folder) else []

    def _alive(self, pid: int, started: str) -> bool:
        if not pid:
            return False
        reap(pid)
        return start_time(pid) == started

    def _known(self) -> tuple[int, str]:
        """Returns pid and start time of the record, or 0 where there is none."""
        try:
            record = json.loads(self._record.read_text())
            return int(record["pid"]), str(record["started"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return 0, ""

    def _write_record(self, pid: int) -> None:
        whole = self._record.with_suffix(".part")
        whole.write_text(json.dumps({"pid": pid, "started": start_time(pid)}))
        whole.replace(self._record)

    def _last_line(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1][-300:] if lines else "it said nothing"


def any_running(folder: Path) -> bool:
    """Whether a server with a record in ``folder`` runs."""
    return any(Server(record.name.removesuffix(RECORD), folder).running for record in folder.glob(f"*{RECORD}"))

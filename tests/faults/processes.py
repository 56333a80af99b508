"""Runs Quire's commands as separate processes, which start within milliseconds."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from quire.settings import CLONE

SECONDS_TO_END = 120  # far longer than any command takes


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """A command's result; ``status`` is None if the process was killed."""

    status: int | None
    stdout: str = ""
    stderr: str = ""


class Command:
    """A running command in a separate process."""

    def __init__(self, socket_path: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(SECONDS_TO_END)
        self._socket.connect(str(socket_path))
        request = {"arguments": list(arguments), "environment": dict(environment)}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self.pid: int = json.loads(self._lines.readline())["pid"]

    def kill(self) -> None:
        """Kills the process, as the kernel does when memory runs out."""
        os.kill(self.pid, signal.SIGKILL)

    def result(self) -> CommandResult:
        """Waits for the command to end.

        Raises:
            TimeoutError: the command did not end in time.
        """
        try:
            line = self._lines.readline()
        except TimeoutError:
            self.kill()
            raise
        finally:
            self._lines.close()
            self._socket.close()
        return CommandResult(**json.loads(line)) if line else CommandResult(status=None)


class CommandRunner:
    """Starts each command in a fork of a process that has loaded the code; ``environment`` applies to all commands."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._path, self._environment = folder / "commands.sock", environment
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forkserver", str(self._path)],
            env={**os.environ, **environment, "PYTHONPATH": f"{CLONE / 'plugins'}:{CLONE}"},
            cwd=CLONE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n"

    def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> Command:
        """Starts ``quire`` with arguments and extra environment variables."""
        return Command(self._path, arguments, environment)

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> CommandResult:
        """Runs ``quire`` and returns its result."""
        return self.start(arguments, environment).result()

    def close(self) -> None:
        """Stops the fork server; running commands continue."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        self._process.wait(timeout=10)
        if self._process.stdout:
            self._process.stdout.close()

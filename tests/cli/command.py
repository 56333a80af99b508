"""Runs the ``quire`` command in this process, saving the second that a new process takes to import its modules."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from unittest.mock import patch

from quire.cli.app import main
from quire.settings import CLONE

QUIRE = [sys.executable, "-m", "quire"]


def quire(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in the current process; test_app.py tests it as a separate process."""
    output, errors = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, _complete(environment), clear=True),
        patch.object(sys, "argv", ["quire", *arguments]),
        redirect_stdout(output),
        redirect_stderr(errors),
        _own_logging(),
    ):
        try:
            main()
        except SystemExit as error:
            status = error.code or 0
    assert isinstance(status, int)
    return subprocess.CompletedProcess([*QUIRE, *arguments], status, output.getvalue(), errors.getvalue())


def quire_process(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in a new process, as a shell does."""
    return subprocess.run(
        [*QUIRE, *arguments],
        env=_complete(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def error_line(environment: dict[str, str], *arguments: str, stdout: str = "") -> tuple[int, str]:
    """Returns the exit status and the only line on standard error, after checking standard output."""
    return only_error(quire(environment, *arguments), stdout=stdout)


def only_error(done: subprocess.CompletedProcess[str], *, stdout: str = "") -> tuple[int, str]:
    """Returns a command's exit status and the only line on standard error, after checking standard output."""
    assert done.stdout == stdout
    assert done.stderr.startswith("quire: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.returncode, done.stderr.strip()


def _complete(environment: dict[str, str]) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "QUIRE"))}
    return {**plain, "PYTHONPATH": str(CLONE / "plugins"), **environment}


@contextmanager
def _own_logging() -> Iterator[None]:
    """Lets the command configure logging as it would in a new process, without pytest's handlers."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(level)

"""Runs ``python -m quire.dev_stack up|down|demo``, which ``make`` calls."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path

from quire.dev_stack.demo import YEAR, run_demo
from quire.dev_stack.environment import own_environment
from quire.dev_stack.signals import interrupt_on_stop_signals
from quire.dev_stack.stack import LocalStack
from quire.errors import ReportError
from quire.settings import CLONE, process_environment, replace_environment

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def main(
    arguments: list[str],
    *,
    folder: Path = CLONE / ".quire",
    out: Path = CLONE / "out",
    request: Mapping[str, str] = YEAR,
) -> int:
    """Runs a command and returns its exit status. Changes the process's signal handlers and environment.

    Args:
        arguments: ``up``, ``down`` or ``demo``.
        folder: the folder for the stack's data, logs and secrets.
        out: the folder for the demo's files.
        request: the demo's date range and report parameters.
    """
    commands = {"up": lambda: _up(folder), "down": lambda: _down(folder), "demo": lambda: _demo(folder, out, request)}
    if len(arguments) != 1 or arguments[0] not in commands:
        print(f"usage: python -m quire.dev_stack {'|'.join(commands)}", file=sys.stderr)
        return 2
    interrupt_on_stop_signals()
    _enter_own_environment()
    try:
        commands[arguments[0]]()
    except ReportError as error:
        return _fail(str(error), error.exit_status)
    except OSError as error:  # for example, a folder belongs to another user or the disk is full
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    return 0


def _enter_own_environment() -> None:
    """Removes other servers' variables from the environment, because libpq, boto3 and httpx would read them."""
    replace_environment(own_environment(process_environment()))


def _up(folder: Path) -> None:
    stack = LocalStack(folder, log=_say)
    started_at = time.monotonic()
    stack.start()
    _say(f"started in {time.monotonic() - started_at:.0f} s" if stack.started else "joined the running stack")
    _say(stack.description())


def _down(folder: Path) -> None:
    _say("stopped" if LocalStack(folder, log=_say).stop() else "nothing was running")


def _demo(folder: Path, out: Path, request: Mapping[str, str]) -> None:
    stack = LocalStack(folder, log=_say)
    try:
        stack.start()
        run_demo(stack, out, request=request, say=_say)
    finally:
        if stack.started:
            stack.stop_started()
            _say("stopped the stack; run `make up` to use the links")


def _say(line: str) -> None:
    print(line, flush=True)


def _fail(reason: str, status: int) -> int:
    print(f"quire: {reason}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

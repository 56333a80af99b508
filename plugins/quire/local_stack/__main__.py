"""``python -m quire.local_stack up|down|demo``: what ``make`` calls."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from quire.errors import ReportError
from quire.local_stack.demo import run_demo
from quire.local_stack.environment import own_environment
from quire.local_stack.signals import interrupt_on_every_end
from quire.local_stack.stack import LocalStack
from quire.settings import CLONE, process_environment, replace_environment

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main(arguments: list[str], *, folder: Path = CLONE / ".quire", out: Path = CLONE / "out") -> int:
    """Runs one of the commands as this process's whole work, and returns the exit status.

    Args:
        arguments: ``up``, ``down`` or ``demo``.
        folder: where the stack keeps everything.
        out: where the demo's files go.
    """
    commands = {"up": lambda: _up(folder), "down": lambda: _down(folder), "demo": lambda: _demo(folder, out)}
    if len(arguments) != 1 or arguments[0] not in commands:
        print(f"usage: python -m quire.local_stack {'|'.join(commands)}", file=sys.stderr)
        return 2
    interrupt_on_every_end()
    _enter_own_environment()
    try:
        commands[arguments[0]]()
    except ReportError as error:
        return _fail(str(error), error.exit_status)
    except OSError as error:  # a folder of another user's, a full disk
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    return 0


def _enter_own_environment() -> None:
    """Leaves settings behind that libpq, boto3 or httpx would read in this process too."""
    replace_environment(own_environment(process_environment()))


def _up(folder: Path) -> None:
    stack = LocalStack(folder, tell=_say)
    began = time.monotonic()
    stack.start()
    _say(f"started in {time.monotonic() - began:.0f} s" if stack.started else "joined the stack that runs")
    _say(stack.description())


def _down(folder: Path) -> None:
    _say("stopped" if LocalStack(folder, tell=_say).stop() else "nothing was running")


def _demo(folder: Path, out: Path) -> None:
    stack = LocalStack(folder, tell=_say)
    try:
        stack.start()
        run_demo(stack, out, say=_say)
    finally:
        if stack.started:
            stack.stop_started()
            _say("stopped what was started; `make up` keeps it running, and then these links work")


def _say(line: str) -> None:
    print(line, flush=True)


def _fail(reason: str, status: int) -> int:
    print(f"quire: {reason}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

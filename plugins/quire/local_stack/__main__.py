"""``python -m quire.local_stack up|down|demo``: what ``make`` calls."""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType

from quire.errors import ReportError
from quire.local_stack.demo import run_demo
from quire.local_stack.stack import LocalStack
from quire.settings import CLONE

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def _say(line: str) -> None:
    print(line, flush=True)


def _up() -> None:
    stack = LocalStack(CLONE / ".quire", tell=_say)
    joined = stack.running
    began = time.monotonic()
    stack.start(lambda part: None if joined else _say(f"starting {part}"))
    _say("joined the stack that runs" if joined else f"started in {time.monotonic() - began:.0f} s")
    _say(stack.description())


def _down() -> None:
    LocalStack(CLONE / ".quire").stop()
    _say("stopped")


def _demo() -> None:
    stack = LocalStack(CLONE / ".quire", tell=_say)
    joined = stack.running
    try:
        stack.start(lambda part: _say(f"starting {part}"))
        run_demo(stack, CLONE / "out", say=_say)
    finally:
        if not joined:
            stack.stop()
            _say("stopped what was started; `make up` keeps it running, and then these links work")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str]) -> int:
    """Runs one of the commands and returns the exit status."""
    commands = {"up": _up, "down": _down, "demo": _demo}
    if len(arguments) != 1 or arguments[0] not in commands:
        print(f"usage: python -m quire.local_stack {'|'.join(commands)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _interrupt)  # so that what was started is stopped
    try:
        commands[arguments[0]]()
    except ReportError as error:
        print(f"quire: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("quire: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A notifier of somebody's own, as a definition may name it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import BaseNotifier


class RecordingNotifier(BaseNotifier):
    """Adds its words to a file, a line each time."""

    template_fields: Sequence[str] = ("words",)

    def __init__(self, target: str, words: list[str]) -> None:
        super().__init__()
        self.target, self.words = target, words

    def notify(self, context: Any) -> None:
        with Path(self.target).open("a") as file:
            file.write(json.dumps(self.words) + "\n")


class ExitingNotifier(BaseNotifier):
    """Ends the process that makes it."""

    def __init__(self) -> None:
        super().__init__()
        raise SystemExit(3)

    def notify(self, context: Any) -> None:
        """Sends nothing."""


class UnspeakableError(Exception):
    """Ends the process that asks it what went wrong."""

    def __str__(self) -> str:
        raise SystemExit(4)


class UnspeakableNotifier(ExitingNotifier):
    """Raises an error that raises another one when it is shown."""

    def __init__(self) -> None:
        raise UnspeakableError

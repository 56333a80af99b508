"""Custom notifiers for use in report definitions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import BaseNotifier


class RecordingNotifier(BaseNotifier):
    """Appends each notification's texts to a file, on one line."""

    template_fields: Sequence[str] = ("texts",)

    def __init__(self, target: str, texts: list[str]) -> None:
        super().__init__()
        self.target, self.texts = target, texts

    def notify(self, context: Any) -> None:
        with Path(self.target).open("a") as file:
            file.write(json.dumps(self.texts) + "\n")


class ExitingNotifier(BaseNotifier):
    """Exits the process in its constructor."""

    def __init__(self) -> None:
        super().__init__()
        raise SystemExit(3)

    def notify(self, context: Any) -> None:
        """Sends nothing."""


class UnspeakableError(Exception):
    """Exits the process when converted to text."""

    def __str__(self) -> str:
        raise SystemExit(4)


class UnspeakableNotifier(ExitingNotifier):
    """Raises an error that cannot be converted to text."""

    def __init__(self) -> None:
        raise UnspeakableError

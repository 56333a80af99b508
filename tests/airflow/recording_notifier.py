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

    def __init__(self, path: str, words: list[str]) -> None:
        super().__init__()
        self.path, self.words = path, words

    def notify(self, context: Any) -> None:
        with Path(self.path).open("a") as file:
            file.write(json.dumps(self.words) + "\n")

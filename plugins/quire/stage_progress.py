"""How stages report their progress to the command line and the portal."""

from __future__ import annotations

from collections.abc import Callable

StageProgress = Callable[[str, int, int], None]
"""Called with a stage's name, its number of finished units and its total number of units."""


def ignore_progress(stage: str, done: int, total: int) -> None:
    """Does nothing; the default ``StageProgress``."""

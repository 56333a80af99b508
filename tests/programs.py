"""Finds the programs that tests run.

If a program is missing, its tests are skipped, except in CI, where all programs are required.
"""

from __future__ import annotations

import os
import shutil

import pytest


def require_program(name: str, *, package: str) -> str:
    """Returns the path of a program. If the program is missing, skips the test, or fails it in CI.

    Args:
        name: the program's name.
        package: the Debian package that contains it.
    """
    path = shutil.which(name)
    if path:
        return path
    reason = f"{name} is not installed: apt-get install {package}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)

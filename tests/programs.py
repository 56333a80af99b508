"""Finds the programs that tests run.

If a program is missing, the tests that need it are skipped; in CI, which requires all programs, they fail.
"""

from __future__ import annotations

import os
import shutil

import pytest


def require_program(name: str, *, package: str) -> str:
    """Returns a program's path. If the program is missing, skips the test, or fails it in CI.

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

"""Programs that tests run beside Python's packages: found, or skipped with the reason; in CI they must be there."""

from __future__ import annotations

import os
import shutil

import pytest


def require_program(name: str, *, package: str) -> str:
    """Returns a program's path; skips the test where it is missing, and fails it in CI.

    Args:
        name: of the program.
        package: of Debian, which has it.
    """
    path = shutil.which(name)
    if path:
        return path
    reason = f"{name} is not installed: apt-get install {package}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)

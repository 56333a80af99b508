"""Builds the wheel and reads its contents."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from quire.settings import CLONE

PACKAGE = CLONE / "plugins" / "quire"
CLONE_ONLY = PACKAGE / "dev_stack"


def build_wheel(folder: Path) -> Path:
    """Builds a wheel from this clone in ``folder``, and returns its path."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=CLONE, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def unpack(wheel: Path, folder: Path) -> Path:
    """Unpacks a wheel as an installer would, and returns the folder."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def package_files() -> set[str]:
    """Returns the package files that a wheel needs, relative to plugins/."""
    return {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.is_relative_to(CLONE_ONLY)
    }

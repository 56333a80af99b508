"""Implements the fast run (``pytest --fast``), which deselects tests that need servers and blocks server starts."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

FULL_EXAMPLES, FAST_EXAMPLES = 100, 25
SERVER_PROGRAMS = {"chromium", "docker", "initdb", "pg_ctl", "postgres", "soffice", "weed"}
SERVER_MODULES = {"airflow", "quire.dev_stack"}  # started by ``python -m``
# In a fast run, modules with this line are not even imported.
SERVER_MODULE = re.compile(
    r'^pytestmark = pytest\.mark\.(server|container|slow|usefixtures\("servers"\))$', re.MULTILINE
)
REASON = "a fast test cannot start a server or a desktop program: let it use the `servers` fixture"


def examples(count: int) -> int:
    """Returns how many Hypothesis examples to try: ``count``, or a quarter of it in a fast run."""
    return max(1, count * settings().max_examples // FULL_EXAMPLES)


def sized(complete: int, *, fast: int) -> int:
    """Returns the size of a test's data: ``complete`` or, in a fast run, ``fast``."""
    return complete if settings().max_examples >= FULL_EXAMPLES else fast


def begin_fast_run() -> None:
    """Configures this process to try fewer examples and to block server starts."""
    settings.register_profile("fast", max_examples=FAST_EXAMPLES)
    settings.load_profile("fast")
    sys.addaudithook(_refuse_servers)


def _refuse_servers(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen":
        program = _server_program([str(word) for word in arguments[1]])
        if program:
            raise RuntimeError(f"{program}: {REASON}")


def _server_program(command: list[str]) -> str | None:
    """Returns the name of the server that a command would start, or None."""
    programs = [word for word in command if word == command[0] or word.startswith("/")]  # one may start another
    names = {Path(word).name for word in programs} & SERVER_PROGRAMS
    modules = {after for word, after in itertools.pairwise(command) if word == "-m"} & SERVER_MODULES
    return next(iter(names | modules), None)


def is_server_module(path: Path) -> bool:
    """Returns whether a test module is marked to contain only tests that need a server or are slow."""
    return path.name.startswith("test_") and SERVER_MODULE.search(path.read_text()) is not None


def ensure_server_modules_use_servers(items: list[pytest.Item]) -> None:
    """Checks that a module's mark hides no test that a fast run could execute.

    Raises:
        pytest.UsageError: a test in a module marked ``server`` does not use the ``servers`` fixture.
    """
    for item in items:
        module = item.getparent(pytest.Module)
        marks = {mark.name for mark in module.own_markers} if module else set()
        if "server" in marks and "servers" not in getattr(item, "fixturenames", ()):
            raise pytest.UsageError(f"{item.nodeid} needs no server: move it, or remove pytestmark from its module")


def select_fast_tests(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects the tests that are marked as ``server``."""
    slow = [item for item in items if item.get_closest_marker("server")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if not item.get_closest_marker("server")]

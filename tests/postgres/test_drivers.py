"""Quire reads with psycopg2 and writes with psycopg 3."""

from __future__ import annotations

import ast
from pathlib import Path

from quire.settings import CLONE

from tests.syntax_nodes import import_nodes

PACKAGE = CLONE / "plugins" / "quire"


def imported_drivers(path: Path) -> set[str]:
    names: set[str] = set()
    for node in import_nodes(path.read_text()):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names & {"psycopg", "psycopg2"}


def test_psycopg2_is_imported_by_reading_modules_only() -> None:
    users = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if "psycopg2" in imported_drivers(path)}
    assert users == {"postgres/keepalive.py", "postgres/transaction.py"}

"""Parses source files once per process, because several tests read the syntax trees of all modules."""

from __future__ import annotations

import ast
from functools import cache


@cache
def syntax_nodes(source: str) -> tuple[ast.AST, ...]:
    """Returns all nodes of source code, beginning with its module."""
    return tuple(ast.walk(ast.parse(source)))


@cache
def import_nodes(source: str) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """Returns the import statements of source code, at any nesting depth."""
    return tuple(node for node in syntax_nodes(source) if isinstance(node, ast.Import | ast.ImportFrom))

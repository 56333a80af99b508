"""Parses source files once per process, because several tests read every module's syntax tree."""

from __future__ import annotations

import ast
from functools import cache


@cache
def syntax_nodes(source: str) -> tuple[ast.AST, ...]:
    """Returns all nodes in source code, starting with its module."""
    return tuple(ast.walk(ast.parse(source)))


@cache
def import_nodes(source: str) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """Returns the import statements in source code, at any nesting depth."""
    return tuple(node for node in syntax_nodes(source) if isinstance(node, ast.Import | ast.ImportFrom))

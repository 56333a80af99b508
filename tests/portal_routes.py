"""Parses the API routes from the portal's source, because importing the portal would load Airflow's API server."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from quire.settings import CLONE


def route_paths() -> Iterator[tuple[str, str]]:
    """Yields the method and path for each route in the API description."""
    for path in sorted((CLONE / "plugins" / "quire" / "portal").glob("*.py")):
        tree = ast.parse(path.read_text())
        prefixes = dict(_routers(tree))
        for node in ast.walk(tree):
            for decorator in getattr(node, "decorator_list", ()):
                if route := _route(decorator, prefixes):
                    yield route


def _routers(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yields the name and prefix of each of a module's routers, except those hidden from the API description."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and isinstance(node.targets[0], ast.Name):
            keywords = {keyword.arg: keyword.value for keyword in node.value.keywords}
            if ast.unparse(node.value.func) == "APIRouter" and not _is_hidden(keywords):
                yield node.targets[0].id, ast.literal_eval(keywords.get("prefix", ast.Constant("")))


def _route(decorator: ast.expr, prefixes: dict[str, str]) -> tuple[str, str] | None:
    if not isinstance(decorator, ast.Call) or not isinstance(decorator.func, ast.Attribute):
        return None
    router, method = ast.unparse(decorator.func.value), decorator.func.attr
    keywords = {keyword.arg: keyword.value for keyword in decorator.keywords}
    if router not in prefixes or method not in ("get", "post", "put", "delete", "patch") or _is_hidden(keywords):
        return None
    return method.upper(), prefixes[router] + ast.literal_eval(decorator.args[0])


def _is_hidden(keywords: dict[str | None, ast.expr]) -> bool:
    return "include_in_schema" in keywords and not ast.literal_eval(keywords["include_in_schema"])

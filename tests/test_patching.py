"""Tests do not replace Quire's internals: they pass arguments, and use real or in-memory parts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.syntax_nodes import syntax_nodes
from tests.test_architecture import identify, sources

REPLACING_CALLS = {"setattr", "delattr", "patch", "object", "dict", "multiple", "setitem", "delitem"}
PATCHERS = {"monkeypatch", "mock", "patch", "mocker", "builtins"}
# Only matching sources are parsed, because parsing takes time: calls that replace attributes, and assignments to them.
CANDIDATE = re.compile(
    r"""(?m)setattr|delattr|(?:set|del)item|\bpatch\b[.\w]*\(|"""
    r"""(?:^|[;'"]) *(?:del \w+\.|(?!self\b)\w+\.[^()\n=]*=(?!=))"""
)


def quire_names(nodes: tuple[ast.AST, ...]) -> set[str]:
    """Returns the names that source code imports from Quire."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.asname or "quire" for alias in node.names if alias.name.partition(".")[0] == "quire"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "quire":
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def patches(source: str) -> list[str]:
    """Returns the expressions in source code that replace an attribute of a Quire module, class or function."""
    return list(_patches(source)) if CANDIDATE.search(source) else []


def _patches(source: str) -> Iterator[str]:
    nodes = syntax_nodes(source)
    names = quire_names(nodes)
    for node in nodes:
        if isinstance(node, ast.Call) and node.args and _replaces(node.func) and _is_quire(node.args[0], names):
            yield ast.unparse(node)
        elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load) and _is_quire(node, names):
            yield ast.unparse(node)
        elif isinstance(node, ast.Constant | ast.JoinedStr):
            yield from _patches_of_program(node)


def _patches_of_program(node: ast.Constant | ast.JoinedStr) -> Iterator[str]:
    """Yields the patches in a string that holds a Python program."""
    text = ast.literal_eval(node) if isinstance(node, ast.Constant) else _text(node)
    if isinstance(text, str) and "import" in text and "quire" in text:
        try:
            ast.parse(text)
        except SyntaxError:
            return
        yield from patches(text)


def _text(node: ast.JoinedStr) -> str:
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "None" for part in node.values)


def _replaces(function: ast.expr) -> bool:
    if isinstance(function, ast.Name):
        return function.id in ("setattr", "delattr", "patch")
    return (
        isinstance(function, ast.Attribute)
        and function.attr in REPLACING_CALLS
        and ast.unparse(function.value).rpartition(".")[2] in PATCHERS
    )


def _is_quire(target: ast.expr, names: set[str]) -> bool:
    """Returns whether an expression is a dotted path in Quire, or an imported part of Quire or its attribute."""
    if isinstance(target, ast.Constant):
        return str(target.value).partition(".")[0] == "quire"
    while isinstance(target, ast.Attribute):
        target = target.value
    return isinstance(target, ast.Name) and target.id in names


def test_tests_patch_no_internals() -> None:
    expressions = {
        identify(path): patches(path.read_text()) for path in sources("tests") if path.name != "test_patching.py"
    }
    assert {path: names for path, names in expressions.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "from unittest import mock\nmock.patch('quire.settings.CLONE', 1)",
        "from unittest.mock import patch\n@patch('quire.settings.CLONE')\ndef test(clone): ...",
        "from quire import settings\npatch.object(settings, 'CLONE', 1)",
        "from quire.portal import manifest_cache\nmonkeypatch.setattr(manifest_cache, 'MAX_CACHE_BYTES', 1)",
        "monkeypatch.setattr('quire.settings.CLONE', 1)",
        "from quire.object_store.s3_store import S3Store\nsetattr(S3Store, 'read', None)",
        "import quire.cli.app as cli\ncli.app = None",
        "import quire.settings\nquire.settings.CLONE: int = 1",
        "def test():\n    from quire.dev_stack import demo\n    demo.DAYS, other = 1, 2",
        "from quire.dev_stack import demo\ndel demo.DAYS",
        "import quire.settings\nmonkeypatch.setitem(quire.settings.NAMES, 'a', 1)",
        "CODE = '''\nfrom quire.dev_stack import demo\ndemo.DAYS = {}\n'''",
        "code = f'import quire.cli.app as cli; cli.app = {name!r}'",
    ],
)
def test_patches_of_a_source_with_one_finds_it(source: str) -> None:
    assert len(patches(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "monkeypatch.setenv('QUIRE_INCLUDE', 'a')",
        "from unittest.mock import patch\npatch.dict(os.environ, {}, clear=True)",
        "from quire.portal.manifest_cache import ManifestCache\ncache = ManifestCache()\ncache.size = 1",
        "from quire import settings\nclone = settings.CLONE",
    ],
)
def test_patches_of_a_source_without_one_finds_none(source: str) -> None:
    assert patches(source) == []

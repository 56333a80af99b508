"""Finds regular expressions and their uses in Python sources, and generates input that is hard to match."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise, product
from re import _constants as codes
from re import _parser as parser
from typing import Any

from tests.syntax_nodes import syntax_nodes

METHODS = {"match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
# Quire's functions that receive a pattern, and the method to which each function passes it
OWN = {"_matching": "fullmatch"}
FUNCTIONS = re.compile(rf"\bre\.|\b(?:{'|'.join(OWN)})\(")
MAX_TOKENS = 7
TAIL = "\x01"  # a character that few patterns match
CATEGORIES = {
    codes.CATEGORY_DIGIT: "0",
    codes.CATEGORY_NOT_DIGIT: "a",
    codes.CATEGORY_SPACE: " ",
    codes.CATEGORY_NOT_SPACE: "a",
    codes.CATEGORY_WORD: "a",
    codes.CATEGORY_NOT_WORD: "-",
}


@dataclass(frozen=True, slots=True)
class Use:
    """A regular expression, and the method that is called with it."""

    place: str
    method: str
    pattern: str | bytes
    flags: int = 0

    def __str__(self) -> str:
        return f"{self.place}:{self.method}"


def uses_of(sources: Mapping[str, str], dynamic: Mapping[str, str]) -> tuple[list[Use], list[str]]:
    """Returns the uses of regular expressions in the sources, and a description of each use whose pattern is unknown.

    Args:
        sources: each file's content, by file name.
        dynamic: examples of the patterns that are built at run time, by the expression in the source.
    """
    trees = _relevant_nodes(sources)
    texts, compiled = {}, {}
    for file, (module, *_) in trees.items():
        assert isinstance(module, ast.Module)
        for name, value in _constants(module):
            call = _re_call(value, {"compile"})
            if call is not None:
                compiled[file, name] = call
            elif isinstance(value, ast.Constant) and isinstance(value.value, str | bytes):
                texts[name] = value.value
    uses: list[Use] = []
    unread = [f"{file}: {ast.unparse(call)}" for (file, _), call in compiled.items() if _text(call, texts) is None]
    for file, nodes in trees.items():
        for node in nodes:
            if not isinstance(node, ast.Call):
                continue
            use = _use(file, node, texts, compiled, dynamic)
            if use is None:
                continue
            uses.append(use) if isinstance(use, Use) else unread.append(use)
    used = {use.place for use in uses}
    unread += [f"{file}:{name} is never called" for file, name in compiled if f"{file}:{name}" not in used]
    return uses, unread


def _relevant_nodes(sources: Mapping[str, str]) -> dict[str, tuple[ast.AST, ...]]:
    """Returns the syntax nodes in files that call ``re`` or share a pattern's name with a file that does."""
    trees = {file: syntax_nodes(text) for file, text in sources.items() if FUNCTIONS.search(text)}
    names: set[str] = set()
    for node in (node for nodes in trees.values() for node in nodes):
        if isinstance(node, ast.Assign) and _re_call(node.value, {"compile"}):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.Call) and _re_call(node, METHODS | {"compile"}):
            names |= {pattern.id for pattern in node.args[:1] if isinstance(pattern, ast.Name)}
    mention = re.compile("|".join(rf"\b{name}\b" for name in names) or "(?!)")
    return trees | {file: syntax_nodes(text) for file, text in sources.items() if mention.search(text)}


def _constants(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield target.id, node.value


def _re_call(node: ast.AST, names: set[str]) -> ast.Call | None:
    """Returns the node if it is a call to one of ``re``'s functions, otherwise None."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names:
        return node if isinstance(node.func.value, ast.Name) and node.func.value.id == "re" else None
    return None


def _text(call: ast.Call, texts: Mapping[str, str | bytes]) -> str | bytes | None:
    if not call.args:
        return None
    pattern = call.args[0]
    if isinstance(pattern, ast.Name):
        return texts.get(pattern.id)
    return pattern.value if isinstance(pattern, ast.Constant) else None  # type: ignore[return-value]


def _flags(call: ast.Call) -> int:
    names = [node.attr for part in call.args[1:] for node in ast.walk(part) if isinstance(node, ast.Attribute)]
    return sum(int(getattr(re, name)) for name in names if name.isupper())


def _use(
    file: str,
    call: ast.Call,
    texts: Mapping[str, str | bytes],
    compiled: Mapping[tuple[str, str], ast.Call],
    dynamic: Mapping[str, str],
) -> Use | str | None:
    """Returns a call's use of a regular expression, if any, or a string if the pattern cannot be determined."""
    if (isinstance(call.func, ast.Name) and call.func.id in OWN) or _re_call(call, METHODS):
        method = OWN[call.func.id] if isinstance(call.func, ast.Name) else call.func.attr  # type: ignore[attr-defined]
        written = ast.unparse(call.args[0])
        pattern = _text(call, texts) or dynamic.get(written)
        return f"{file}: {written}" if pattern is None else Use(f"{file}:{written}", method, pattern, _flags(call))
    if not (isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name)):
        return None
    name, method = call.func.value.id, call.func.attr
    owners = [key for key in ((file, name), *compiled) if key in compiled and key[1] == name]
    if method not in METHODS or not owners:
        return None
    owner = compiled[owners[0]]
    pattern = _text(owner, texts)
    return None if pattern is None else Use(f"{owners[0][0]}:{name}", method, pattern, _flags(owner))


@dataclass(frozen=True, slots=True)
class HardText:
    """A string of any size, which repeats a unit between a head and a tail."""

    unit: str
    head: str = ""
    tail: str = ""

    def of(self, size: int) -> str:
        """Returns a string of about ``size`` characters."""
        return self.head + self.unit * max(1, size // max(1, len(self.unit))) + self.tail


def hard_texts(pattern: str | bytes, flags: int = 0) -> Iterator[HardText]:
    """Yields many strings that nearly match parts of the pattern."""
    tokens, sample = _tokens(parser.parse(pattern, flags))
    tokens = list(dict.fromkeys(tokens))[:MAX_TOKENS]
    beginnings = ["".join(sample[: place + 1]) for place in range(len(sample))]
    for unit in dict.fromkeys([*tokens, *beginnings, *map("".join, pairwise(sample))]):
        yield HardText(unit)
        yield HardText(unit, tail=TAIL)
    for one, other in product([*tokens, *beginnings[-1:]], tokens):
        yield HardText(one + other)
        yield HardText(other, head=one, tail=TAIL)
        yield HardText(other, tail=one)
    for beginning, token in product(beginnings, tokens):
        yield HardText(token, head=beginning, tail=TAIL)


def _tokens(parsed: Any) -> tuple[list[str], list[str]]:
    """Returns a pattern's literals, and the pieces of a string that roughly matches the pattern."""
    tokens: list[str] = []
    sample: list[str] = []
    word = ""
    for code, argument in [*parsed, (None, None)]:
        if code is codes.LITERAL:
            word += chr(argument)
            continue
        if word:
            tokens.append(word)
            sample.append(word)
            word = ""
        inner = list(_inner(code, argument))
        for number, part in enumerate(inner):
            more, example = ([part], [part]) if isinstance(part, str) else _tokens(part)
            tokens += more
            if number == 0 and code is not codes.ASSERT_NOT:
                sample += example
    return tokens, sample


def _inner(code: Any, argument: Any) -> Iterator[Any]:
    """Yields the parts of an item in a parsed pattern; each is a parsed pattern or a single character."""
    if code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
        yield argument[2]
    elif code is codes.SUBPATTERN:
        yield argument[3]
    elif code is codes.ATOMIC_GROUP:
        yield argument
    elif code is codes.BRANCH:
        yield from argument[1]
    elif code in (codes.ASSERT, codes.ASSERT_NOT):
        yield argument[1]
    elif code is codes.ANY:
        yield "a"
    elif code is codes.NOT_LITERAL:
        yield "a" if argument != ord("a") else "b"
    elif code is codes.IN:
        yield from _members(argument)


def _members(items: Any) -> Iterator[str]:
    negated = items[0][0] is codes.NEGATE
    excluded = set()
    for code, argument in items:
        if code is codes.LITERAL:
            excluded.add(chr(argument))
        elif code is codes.RANGE:
            excluded.add(chr(argument[0]))
        elif code is codes.CATEGORY and not negated:
            yield CATEGORIES[argument]
    if not negated:
        yield from sorted(excluded)
        return
    yield next(letter for letter in "a0 -<[\"'" if letter not in excluded)
    yield from sorted(excluded)

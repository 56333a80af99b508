"""What to do about YAML that cannot be read: most of it is quotes and tabs."""

from __future__ import annotations

import yaml

_ALIGN = "align the keys, or quote the whole value (an apostrophe inside single quotes is written twice)"
_ADVICE = {
    "mapping values are not allowed": "put a value with a colon in it in quotes",
    "undefined alias": "a value that begins with * must be in quotes",
    "could not determine a constructor": "a value that begins with ! must be in quotes",
    "unknown escape character": "a backslash begins an escape in double quotes; use single quotes",
    "quoted scalar": "close the quote; inside single quotes, write an apostrophe twice",
    "while scanning an anchor": "a value that begins with & must be in quotes",
    "while parsing a flow": "close the bracket, and put a value with brackets, braces or commas in it in quotes",
    "did not find expected key": _ALIGN,
    "expected <block end>": _ALIGN,
    "did not find expected '-' indicator": "align the items of the list",
}


def advice_of(error: yaml.MarkedYAMLError, text: str) -> str:
    """Returns ``; `` and what to do about an error, or nothing."""
    advice = _advice(f"{error.problem} {error.context}", _character(error, text))
    return f"; {advice}" if advice else ""


def _advice(reason: str, character: str) -> str:
    if "tab character" in reason or character == "\t":
        return "indent with blanks, not with tabs"
    if "cannot start any token" in reason:
        return f"a value that begins with {character} must be in quotes"
    return next((advice for words, advice in _ADVICE.items() if words in reason), "")


def _character(error: yaml.MarkedYAMLError, text: str) -> str:
    """Returns the character that the error is about."""
    mark = error.problem_mark
    lines = text.splitlines()
    if mark is None or mark.line >= len(lines):
        return ""
    return lines[mark.line][mark.column : mark.column + 1]

"""Suggests corrections for common YAML syntax errors, most of which involve quotes or tabs."""

from __future__ import annotations

import yaml

_ALIGN = "align the keys, or quote the entire value (inside single quotes, write an apostrophe twice)"
_ADVICE = {
    "mapping values are not allowed": "quote a value that contains a colon",
    "undefined alias": "quote a value that begins with *",
    "could not determine a constructor": "quote a value that begins with !",
    "unknown escape character": "use single quotes: in double quotes, a backslash starts an escape sequence",
    "quoted scalar": "close the quote; inside single quotes, write an apostrophe twice",
    "while scanning an anchor": "quote a value that begins with &",
    "while parsing a flow": "close the bracket, and quote a value that contains brackets, braces or commas",
    "did not find expected key": _ALIGN,
    "expected <block end>": _ALIGN,
    "did not find expected '-' indicator": "align the list items",
}


def advice_of(error: yaml.MarkedYAMLError, text: str) -> str:
    """Returns ``; `` and advice on how to correct an error, or an empty string if there is no advice."""
    advice = _advice(f"{error.problem} {error.context}", _character(error, text))
    return f"; {advice}" if advice else ""


def _advice(reason: str, character: str) -> str:
    if "tab character" in reason or character == "\t":
        return "indent with spaces, not tabs"
    if "cannot start any token" in reason:
        return f"quote a value that begins with {character}"
    return next((advice for phrase, advice in _ADVICE.items() if phrase in reason), "")


def _character(error: yaml.MarkedYAMLError, text: str) -> str:
    """Returns the character at which the parser found the error."""
    mark = error.problem_mark
    lines = text.splitlines()
    if mark is None or mark.line >= len(lines):
        return ""
    return lines[mark.line][mark.column : mark.column + 1]

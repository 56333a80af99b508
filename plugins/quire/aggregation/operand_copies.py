"""Limits how many operands Polars copies, because a few nested BETWEENs or CASEs can exhaust the process's memory.

Polars expands ``x BETWEEN a AND b`` to ``x >= a AND x <= b``, and each WHEN of ``CASE x WHEN …`` compares a copy of
``x``. Each level of nesting multiplies the number of copies.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MAX_PARENTHESES = 10  # nested
MAX_COPYING = 10
MAX_NESTED_COPYING = 3
MAX_NESTED_WHENS = 5  # if the CASE's operand also makes copies: three CASEs with 44 WHENs each used more than 3 GB
COPYING_FUNCTIONS = frozenset("NULLIF LEFT RIGHT SPLIT_PART SUBSTR SUBSTRING DATE_PART EXTRACT".split())
COPYING = COPYING_FUNCTIONS | {"BETWEEN", "CASE"}
LISTED = "BETWEEN, CASE, " + ", ".join(sorted(COPYING_FUNCTIONS))
ENDS_OF_OPERAND = frozenset({"AND", "OR", "XOR", ",", "WHEN", "THEN", "ELSE"})


@dataclass(slots=True)
class _Group:
    """State for an open parenthesis or CASE. Its levels count nested words that copy their operands."""

    opened_by: str = ""
    level: int = 0  # the current operand's level
    max_level: int = 0
    bounds: int = 0  # number of BETWEENs whose AND has not been read yet
    whens: int = 0
    operand_level: int = 0  # the level of a CASE's own operand

    def end_operand(self) -> None:
        self.max_level = max(self.max_level, self.level)
        self.level = 0


def find_excessive_copying(words: Iterable[str]) -> str | None:
    """Returns why an expression could use too much memory, or None.

    Args:
        words: the expression's words and other characters, in upper case.
    """
    groups = [_Group()]
    copying, before = 0, ""
    for word in words:
        copying += word in COPYING - COPYING_FUNCTIONS or (word == "(" and before in COPYING_FUNCTIONS)
        if word == "OVER":
            return "OVER: window functions are not allowed; put a column with this name in double quotes"
        if copying > MAX_COPYING:
            return f"more than {MAX_COPYING} of {LISTED}"
        if sum(group.opened_by != "CASE" for group in groups[1:]) > MAX_PARENTHESES:
            return f"more than {MAX_PARENTHESES} nested parentheses"
        if _read(groups, word, before) > MAX_NESTED_COPYING:
            return f"more than {MAX_NESTED_COPYING} nested {LISTED}"
        if groups[-1].operand_level and groups[-1].whens > MAX_NESTED_WHENS:
            return f"a CASE with more than {MAX_NESTED_WHENS} WHENs and one of {LISTED} in its operand"
        before = word
    return None


def _read(groups: list[_Group], word: str, before: str) -> int:
    """Adds a word to the innermost group and returns the group's current level."""
    group = groups[-1]
    if word in ("(", "["):
        groups.append(_Group(before or "("))
    elif word == "CASE":
        groups.append(_Group(word))
    elif word in (")", "]") or (word == "END" and group.opened_by == "CASE"):
        _close(groups, word)
    elif word == "BETWEEN":
        group.level += 1
        group.bounds += 1
    elif word == "AND" and group.bounds:
        group.bounds -= 1
    elif word in ENDS_OF_OPERAND:
        if word == "WHEN":
            group.operand_level = group.operand_level if group.whens else group.level
            group.whens += 1
        group.end_operand()
    return groups[-1].level


def _close(groups: list[_Group], word: str) -> None:
    while len(groups) > 1:
        group = groups.pop()
        group.end_operand()
        is_copying = group.opened_by in COPYING
        groups[-1].level = max(groups[-1].level, group.max_level + is_copying)
        if word == "END" or group.opened_by != "CASE":
            return

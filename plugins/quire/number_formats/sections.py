"""Parses a format code into sections of tokens. Quoted, bracketed and escaped text contains no placeholders."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from operator import eq, ge, gt, le, lt, ne

MAX_SECTIONS = 4  # positive, negative, zero, text
_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"?|\[(?P<bracket>[^\]]*)\]?|\\(?P<escaped>.)|_(?P<blank>.)|\*(?P<fill>.)'
    r"|(?P<general>General)|(?P<noon>AM/PM|A/P)|(?P<exponent>E[+-])|(?P<moment>y+|m+|d+|h+|s+)"
    r"|(?P<digit>[0#?])|(?P<point>\.)|(?P<comma>,)|(?P<percent>%)|(?P<text>@)|(?P<end>;)|(?P<other>.)",
    re.IGNORECASE | re.DOTALL,
)
_ELAPSED = re.compile(r"h+|m+|s+", re.IGNORECASE)
_CONDITION = re.compile(r"(<=|>=|<>|<|>|=)(-?[0-9]{1,15}(?:\.[0-9]{1,15})?)")
_COMPARISONS: Mapping[str, Callable[[Decimal, Decimal], bool]] = {
    "<": lt, "<=": le, ">": gt, ">=": ge, "=": eq, "<>": ne,
}  # fmt: skip


class Kind(Enum):
    """The kinds of tokens."""

    LITERAL = "literal"
    GENERAL = "general"
    DIGIT = "digit"
    POINT = "point"
    COMMA = "comma"
    PERCENT = "percent"
    EXPONENT = "exponent"
    MOMENT = "moment"
    ELAPSED = "elapsed"
    NOON = "noon"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Token:
    """A placeholder or literal text."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Condition:
    """The condition that selects the numbers to which a section applies."""

    comparison: str
    limit: Decimal

    def is_met(self, number: Decimal) -> bool:
        """Returns whether a number meets the condition."""
        return _COMPARISONS[self.comparison](number, self.limit)

    @property
    def takes_only_negatives(self) -> bool:
        """Whether the condition selects only negative numbers, which Excel then displays without a minus sign."""
        return self.comparison in ("<", "<=") and (self.limit < 0 or (self.limit == 0 and self.comparison == "<"))


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a format code."""

    tokens: tuple[Token, ...]
    condition: Condition | None = None

    def has(self, *kinds: Kind) -> bool:
        """Returns whether the section contains a token of any of the given kinds."""
        return any(token.kind in kinds for token in self.tokens)


@lru_cache(maxsize=256)
def parse_sections(code: str) -> tuple[Section, ...]:
    """Returns a format code's first four sections."""
    sections: list[Section] = []
    tokens: list[Token] = []
    condition: Condition | None = None
    for match in _TOKEN.finditer(code):
        group = match.lastgroup or ""
        if group == "end":
            sections.append(Section(tuple(tokens), condition))
            tokens, condition = [], None
        elif group == "bracket":
            condition = _condition(match["bracket"]) or condition
            tokens += _bracket_tokens(match["bracket"])
        else:
            tokens += _tokens(group, match[group])
    sections.append(Section(tuple(tokens), condition))
    return tuple(sections[:MAX_SECTIONS])


def _tokens(group: str, text: str) -> list[Token]:
    if group in ("quoted", "escaped", "other"):
        return [Token(Kind.LITERAL, text)] if text else []
    if group == "blank":  # a blank as wide as the following character
        return [Token(Kind.LITERAL, " ")]
    return [] if group == "fill" else [Token(Kind(group), text)]


def _bracket_tokens(text: str) -> list[Token]:
    """Returns the token for a currency symbol or an elapsed time. Colors, locales and conditions have no token."""
    if text.startswith("$"):
        symbol = text[1:].partition("-")[0]
        return [Token(Kind.LITERAL, symbol)] if symbol else []
    return [Token(Kind.ELAPSED, text)] if _ELAPSED.fullmatch(text) else []


def _condition(text: str) -> Condition | None:
    match = _CONDITION.fullmatch(text)
    return Condition(match[1], Decimal(match[2])) if match else None


def section_of(sections: Sequence[Section], number: Decimal) -> tuple[Section | None, bool]:
    """Returns the section that applies to a number, and whether that section replaces the minus sign.

    The section is None if the number meets none of the code's conditions.
    """
    numeric = sections[:3]
    if any(section.condition for section in numeric):
        return _section_by_condition(numeric, number)
    if number < 0 and len(numeric) > 1:
        return numeric[1], True
    if number == 0 and len(numeric) > 2:
        return numeric[2], False
    return numeric[0], False


def _section_by_condition(numeric: Sequence[Section], number: Decimal) -> tuple[Section | None, bool]:
    for position, section in enumerate(numeric):
        condition = section.condition
        if condition is None and position == 1 and len(numeric) > 2:
            condition = Condition("<", Decimal(0))
        if condition is None or condition.is_met(number):
            return section, condition is not None and condition.takes_only_negatives
    return None, False

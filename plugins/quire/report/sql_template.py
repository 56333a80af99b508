"""Finds and replaces the named placeholders in a report's SQL.

As in PostgreSQL's Python drivers, ``%(name)s`` is a placeholder and ``%%`` is a percent sign; any other use of ``%`` is
an error. COPY does not accept bind parameters, so readers' values become literals, and the query becomes part of a
larger statement. Three rules are therefore stricter than a database driver's:

- Comments remain unchanged, because a value with a newline could end a comment and continue as SQL.
- Placeholders inside quotes are rejected, because the literal's own quotes would end the outer quotes.
- Semicolons are rejected, because a second statement could run outside the read-only transaction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from quire.errors import DefinitionError, ParameterError
from quire.report.sql_literal import literal

# PostgreSQL's lexical rules for quotes and comments (manual, section 4.1, and src/backend/parser/scan.l). The pattern
# matches each word as a unit, so an E starts an escape string, and a $ starts a dollar quote, only at the start of a
# token. PostgreSQL, unlike Python's \w and \s, treats every non-ASCII character as a letter, and only ASCII whitespace
# as whitespace. An escape string may continue on the next line in a second pair of quotes.
TOKEN = re.compile(
    r"""
      (?P<comment>   --[^\r\n]*+ | /\* )
    | (?P<quoted>    [eE]'(?:[^'\\]++|\\.|'')*
                     (?:'[ \t\f\v]*+(?:--[^\r\n]*+)?[\r\n](?:[ \t\f\v\r\n]|--[^\r\n]*+[\r\n])*
                        '(?:[^'\\]++|\\.|'')*)*'?
                   | '(?:[^']++|'')*'? | "(?:[^"]++|"")*"?
                   | \$(?P<tag>(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*+)?)\$.*?(?:\$(?P=tag)\$|\Z) )
    | (?P<word>      [A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*+ )
    """,
    re.VERBOSE | re.DOTALL,
)
NUMBER = re.compile(r"(?<![\w$])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w$])")
MAX_PROBLEMS = 100  # maximum per file; a file can contain a hundred thousand problems
ONE_STATEMENT = "unexpected semicolon: write one query; a semicolon is allowed only at the end of the file"
COMMENT_MARK = re.compile(r"/\*|\*/")
MARK = re.compile(r"(?P<end>;)|%(?:(?P<double>%)|\((?P<name>[^()]+)\)s)?")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A ``%(name)s`` placeholder and its line number, which starts at 1."""

    name: str
    line: int


@dataclass(frozen=True, slots=True)
class TemplateProblem:
    """A syntax problem and its line number."""

    reason: str
    line: int


@dataclass(frozen=True, slots=True)
class _Piece:
    kind: Literal["text", "placeholder", "problem"]
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL to execute, and its template with ``?`` for each value. Logs show only the template; values may be secret."""

    text: str
    template: str

    @classmethod
    def of(cls, sql: str | Statement) -> Statement:
        """Returns a statement unchanged; converts a string to a statement without values."""
        return sql if isinstance(sql, Statement) else cls(text=sql, template=sql)

    def within(self, before: str, after: str = "") -> Statement:
        """Returns a larger statement that contains this statement."""
        return Statement(text=f"{before}{self.text}{after}", template=f"{before}{self.template}{after}")

    def __str__(self) -> str:
        return self.text


def placeholders(sql: str) -> tuple[Placeholder, ...]:
    """Returns the placeholders in the order in which they appear."""
    return tuple(Placeholder(piece.text, piece.line) for piece in _pieces(sql) if piece.kind == "placeholder")


def problems(sql: str) -> tuple[TemplateProblem, ...]:
    """Returns the first ``MAX_PROBLEMS`` problems: lone percent signs, placeholders inside quotes, and semicolons."""
    all_problems = (TemplateProblem(piece.text, piece.line) for piece in _pieces(sql) if piece.kind == "problem")
    return tuple(islice(all_problems, MAX_PROBLEMS))


def bind(sql: str, binds: Mapping[str, Any]) -> Statement:
    """Replaces each placeholder with its value as an SQL literal; placeholders inside values remain unchanged.

    Args:
        sql: the text of the SQL file.
        binds: a value for each placeholder; extra values are ignored.

    Raises:
        DefinitionError: the SQL has problems, although the catalog should already have rejected the file.
        ParameterError: a value is missing, or cannot be written as an SQL literal.
    """

    def bound(name: str) -> str:
        if name not in binds:
            raise ParameterError(f"the query's placeholder %({name})s has no value")
        try:
            return literal(binds[name])
        except ValueError as error:
            raise ParameterError(f"parameter {name} cannot be sent to PostgreSQL: {error}") from error

    pieces = tuple(_pieces(sql))
    for piece in pieces:
        if piece.kind == "problem":
            raise DefinitionError(f"line {piece.line} of the query: {piece.text}")
    return Statement(
        text="".join(bound(piece.text) if piece.kind == "placeholder" else piece.text for piece in pieces),
        template="".join("?" if piece.kind == "placeholder" else piece.text for piece in pieces),
    )


def normalize(sql: str) -> str:
    """Replaces each value with ``?``, and removes comments and newlines, so that equal statements can be grouped."""
    parts = []
    for kind, text in _segments(sql):
        if kind == "quoted" and not text.startswith('"'):
            parts.append("?")
        elif kind != "comment":
            parts.append(NUMBER.sub("?", text) if kind == "code" else text)
    return " ".join("".join(parts).split())


def bare_code(sql: str) -> str:
    """Returns SQL with each comment, string and quoted name replaced by a space."""
    return " ".join(text for kind, text in _segments(sql) if kind == "code")


def _pieces(sql: str) -> Iterator[_Piece]:
    line = 1
    for kind, text in _segments(sql):
        if kind == "comment":
            yield _Piece("text", text, line)
        else:
            yield from _read_marks(text, line=line, quoted=kind == "quoted")
        line += text.count("\n")


def _segments(sql: str) -> Iterator[tuple[Literal["code", "quoted", "comment"], str]]:
    start = position = 0
    while token := TOKEN.search(sql, position):
        position = token.end()
        if token["word"]:
            continue
        yield "code", sql[start : token.start()]
        if token["comment"]:
            position = _end_of_comment(sql, token)
        yield ("comment" if token["comment"] else "quoted"), sql[token.start() : position]
        start = position
    yield "code", sql[start:]


def _end_of_comment(sql: str, token: re.Match[str]) -> int:
    """Returns the position after a comment. A regular expression cannot match nested comments."""
    if token["comment"] != "/*":
        return token.end()
    depth, position = 1, token.end()
    while depth and (mark := COMMENT_MARK.search(sql, position)):
        depth += 1 if mark.group() == "/*" else -1
        position = mark.end()
    return len(sql) if depth else position


def _read_marks(text: str, *, line: int, quoted: bool) -> Iterator[_Piece]:
    position = counted = 0
    current_line = line
    for mark in MARK.finditer(text):
        current_line += text.count("\n", counted, mark.start())
        counted = mark.start()
        yield _Piece("text", text[position : mark.start()], current_line)
        position = mark.end()
        if mark["end"]:
            yield _Piece("text", ";", current_line) if quoted else _Piece("problem", ONE_STATEMENT, current_line)
        elif mark["double"]:
            yield _Piece("text", "%", current_line)
        elif mark["name"] is None:
            excerpt = text[mark.start() : mark.start() + 12].splitlines()[0]
            yield _Piece("problem", f"{excerpt!r}: write %(name)s for a value, %% for a percent sign", current_line)
        elif quoted:
            reason = f"%({mark['name']})s is inside quotes: remove them, because the value is quoted automatically"
            yield _Piece("problem", reason, current_line)
        else:
            yield _Piece("placeholder", mark["name"], current_line)
    yield _Piece("text", text[position:], line)

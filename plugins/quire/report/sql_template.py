"""A report's SQL with its named placeholders: finding them, and putting values in their places.

``%(name)s`` is a placeholder and ``%%`` a percent sign, as in every Python database driver; anything else that
begins with ``%`` is a mistake. Three things are stricter than in a driver, since COPY takes no binds, a reader's text
becomes a literal here, and the query is put into a larger one:

- Comments are left as they are. A value put into one could end it with a line break and go on as SQL.
- A placeholder inside quotes is refused. The value brings its own quotes, which would end the outer ones.
- A semicolon is refused. Behind it another statement could begin, outside of the transaction that only reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from quire.errors import DefinitionError, ParameterError
from quire.report.sql_literal import literal

# PostgreSQL's own lexical rules (its manual, section 4.1, and src/backend/parser/scan.l): what stands in quotes or in a
# comment. Words are taken whole, so that the E of an escape string and the $ of a dollar quote are only seen where a
# token begins. To PostgreSQL every character beyond ASCII is a letter, and only ASCII's blanks are blanks; Python's \w
# and \s differ. An escape string may go on in quotes on the next line.
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
MAX_PROBLEMS = 100  # that are searched for: nobody reads more, and a file may have a hundred thousand
ONE_STATEMENT = "a semicolon: write one query; only the last character of the file may be one"
COMMENT_MARK = re.compile(r"/\*|\*/")
MARK = re.compile(r"(?P<end>;)|%(?:(?P<double>%)|\((?P<name>[^()]+)\)s)?")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A ``%(name)s`` and the line it stands on, from 1."""

    name: str
    line: int


@dataclass(frozen=True, slots=True)
class TemplateProblem:
    """What cannot be read, and its line."""

    reason: str
    line: int


@dataclass(frozen=True, slots=True)
class _Piece:
    kind: Literal["text", "placeholder", "problem"]
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL to run, and the same with ``?`` for each value, from which logs take it: values may be long, and secret."""

    text: str
    template: str

    @classmethod
    def of(cls, sql: str | Statement) -> Statement:
        """Returns a statement as it is, and one without values of a text."""
        return sql if isinstance(sql, Statement) else cls(text=sql, template=sql)

    def within(self, before: str, after: str = "") -> Statement:
        """Returns the statement as part of a larger one."""
        return Statement(text=f"{before}{self.text}{after}", template=f"{before}{self.template}{after}")

    def __str__(self) -> str:
        return self.text


def placeholders(sql: str) -> tuple[Placeholder, ...]:
    """Returns every placeholder, in the order of the text."""
    return tuple(Placeholder(piece.text, piece.line) for piece in _pieces(sql) if piece.kind == "placeholder")


def problems(sql: str) -> tuple[TemplateProblem, ...]:
    """Returns the first of what cannot be read: lone percent signs, placeholders inside quotes, and semicolons."""
    wrong = (TemplateProblem(piece.text, piece.line) for piece in _pieces(sql) if piece.kind == "problem")
    return tuple(islice(wrong, MAX_PROBLEMS))


def bind(sql: str, binds: Mapping[str, Any]) -> Statement:
    """Returns the SQL with each placeholder replaced by its value, as ``sql_literal`` quotes it.

    A value is never searched for placeholders itself.

    Args:
        sql: as it stands in the file.
        binds: a value for every placeholder; more are ignored.

    Raises:
        DefinitionError: the SQL has problems (the catalog refuses such a file before).
        ParameterError: a value is missing, or no literal can hold it.
    """

    def bound(name: str) -> str:
        if name not in binds:
            raise ParameterError(f"the query's placeholder %({name})s has no value")
        try:
            return literal(binds[name])
        except ValueError as error:
            raise ParameterError(f"the value of {name} cannot be sent to PostgreSQL: {error}") from error

    pieces = tuple(_pieces(sql))
    for piece in pieces:
        if piece.kind == "problem":
            raise DefinitionError(f"line {piece.line} of the query: {piece.text}")
    return Statement(
        text="".join(bound(piece.text) if piece.kind == "placeholder" else piece.text for piece in pieces),
        template="".join("?" if piece.kind == "placeholder" else piece.text for piece in pieces),
    )


def normalize(sql: str) -> str:
    """Returns a statement without comments and line breaks, with ``?`` for each value, so that its calls are one."""
    found = []
    for kind, text in _segments(sql):
        if kind == "quoted" and not text.startswith('"'):
            found.append("?")
        elif kind != "comment":
            found.append(NUMBER.sub("?", text) if kind == "code" else text)
    return " ".join("".join(found).split())


def bare_code(sql: str) -> str:
    """Returns SQL with a blank in place of each comment and of each text or name in quotes."""
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
    """Returns where a comment ends. Block comments nest in PostgreSQL, which no regular expression can follow."""
    if token["comment"] != "/*":
        return token.end()
    depth, position = 1, token.end()
    while depth and (mark := COMMENT_MARK.search(sql, position)):
        depth += 1 if mark.group() == "/*" else -1
        position = mark.end()
    return len(sql) if depth else position


def _read_marks(text: str, *, line: int, quoted: bool) -> Iterator[_Piece]:
    position = counted = 0
    here = line
    for mark in MARK.finditer(text):
        here += text.count("\n", counted, mark.start())
        counted = mark.start()
        yield _Piece("text", text[position : mark.start()], here)
        position = mark.end()
        if mark["end"]:
            yield _Piece("text", ";", here) if quoted else _Piece("problem", ONE_STATEMENT, here)
        elif mark["double"]:
            yield _Piece("text", "%", here)
        elif mark["name"] is None:
            seen = text[mark.start() : mark.start() + 12].splitlines()[0]
            yield _Piece("problem", f"{seen!r}: write %(name)s for a value, %% for a percent sign", here)
        elif quoted:
            reason = f"%({mark['name']})s stands inside quotes: take them away, the value brings its own"
            yield _Piece("problem", reason, here)
        else:
            yield _Piece("placeholder", mark["name"], here)
    yield _Piece("text", text[position:], line)

"""Detects format codes that Excel rejects or misreads, and suggests corrections."""

from __future__ import annotations

import re
from collections.abc import Iterator

from quire.number_formats.sections import MAX_SECTIONS

COLORS = ("Black", "Blue", "Cyan", "Green", "Magenta", "Red", "White", "Yellow")
_FOREIGN_COLORS = {
    "rouge": "Red", "rot": "Red", "rojo": "Red", "rosso": "Red", "bleu": "Blue", "blau": "Blue", "azul": "Blue",
    "vert": "Green", "grün": "Green", "verde": "Green", "noir": "Black", "schwarz": "Black", "negro": "Black",
    "jaune": "Yellow", "gelb": "Yellow", "blanc": "White", "weiß": "White",
}  # fmt: skip
_STRFTIME = {
    "Y": "yyyy", "y": "yy", "m": "mm", "B": "mmmm", "b": "mmm", "d": "dd", "A": "dddd", "a": "ddd",
    "H": "hh", "I": "hh", "M": "mm", "S": "ss", "p": "AM/PM",
}  # fmt: skip
_DIRECTIVE = re.compile(r"%([A-Za-z])")
_BRACKET = re.compile(
    r"\$[^\]]*+|h++|m++|s++|DBNum[1-4]|colou?r ?[0-9]{1,2}|(?:<=|>=|<>|<|>|=)-?[0-9]{1,15}(?:\.[0-9]{1,15})?",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r'"[^"]*+(?P<quote>"?+)|\[(?P<bracket>[^\[\]]*+)(?P<close>\]?+)|[\\_*](?P<behind>.?+)|(?P<end>;)'
    r"|(?P<number>[0#?.,]++)|(?P<exponent>E[+-])|(?P<general>General|@)|(?P<noon>AM/PM|A/P)"
    r"|(?P<word>[A-Za-z]++)|[^;]",
    re.IGNORECASE | re.DOTALL,
)
MAX_ECHOED_LENGTH = 100  # longer words are truncated, and longer codes are not suggested
_DATE_WORD = re.compile(r"[ymdhsegb]++", re.IGNORECASE)


def problem_of(code: str) -> str:
    """Returns the problem with a format code and a suggested correction, or an empty string if the code is valid."""
    if _DIRECTIVE.search(code) and not re.search(r'[0#?"%]', _DIRECTIVE.sub("", code)):
        suggested = _DIRECTIVE.sub(lambda directive: _STRFTIME.get(directive[1], directive[0]), code)
        return f"This is a strftime format{_suggestion(suggested, '. In Excel, write {}')}"
    return next(_problems(code), "")


def _problems(code: str) -> Iterator[str]:
    sections = 1
    has_number = has_date = False
    before = ""
    for token in _TOKEN.finditer(code):
        group = token.lastgroup or ""
        if token["end"]:
            sections += 1
            has_number = has_date = False
        elif token["number"] is not None:
            yield from _number_problems(code, token["number"])
            has_number = has_number or (bool(token["number"].strip(".,")) and before[-1:].lower() != "s")
        elif token["word"]:
            if not _DATE_WORD.fullmatch(token["word"]):
                yield _unquoted_word(code, token["word"])
            has_date = True
        else:
            yield from _token_problems(code, token, group)
        if has_number and has_date:
            yield 'it mixes number and date placeholders: put literal text in quotes, as in 0 "days"'
        before = token[0]
    if sections > MAX_SECTIONS:
        yield f"it has {sections} sections; Excel supports at most {MAX_SECTIONS}: positive, negative, zero, text"


def _token_problems(code: str, token: re.Match[str], group: str) -> Iterator[str]:
    if token["quote"] == "" and token[0].startswith('"'):
        closed = _suggestion(f'{code}"', ": write {}") if code.count('"') % 2 else ""
        yield f"a quote is not closed{closed}"
    elif group in ("bracket", "close") and token["bracket"] is not None:
        if not token["close"]:
            yield "a bracket is not closed"
        elif token["bracket"].title() not in COLORS and not _BRACKET.fullmatch(token["bracket"]):
            yield _unknown_bracket(token["bracket"])
    elif token["behind"] == "":
        yield f"nothing follows the last {token[0]}"


def _number_problems(code: str, number: str) -> Iterator[str]:
    point = number.find(".")
    if point < 0:
        return
    if number.count(".") > 1 or re.search(r",[0#?]", number[point:]):
        swapped = code.translate({ord("."): ",", ord(","): "."})
        suggestion = _suggestion(swapped, "; did you mean {}?") if number.count(",") == 1 else ""
        yield f"a format code uses , for thousands and . for decimals in every language{suggestion}"


def _unquoted_word(code: str, word: str) -> str:
    suggested = code.replace(word, f'"{word}"', 1)
    return f"{_cut(word)} is neither a placeholder nor in quotes{_suggestion(suggested, '; did you mean {}?')}"


def _unknown_bracket(text: str) -> str:
    suggested = _FOREIGN_COLORS.get(text.casefold())
    suggestion = f"; did you mean [{suggested}]?" if suggested else ""
    return f"[{_cut(text)}] is not a color, condition or currency. The colors are {', '.join(COLORS)}{suggestion}"


def _suggestion(suggested: str, template: str) -> str:
    """Returns a message with the suggested code, or an empty string if the code is too long for one line."""
    return template.format(suggested) if len(suggested) <= MAX_ECHOED_LENGTH else ""


def _cut(text: str) -> str:
    return text if len(text) <= MAX_ECHOED_LENGTH else f"{text[: MAX_ECHOED_LENGTH - 3]}..."

"""Formats numbers according to a format code section."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal

from quire.number_formats.sections import Kind, Section, Token

# Enough digits for any PostgreSQL numeric after scaling, so that numbers are rounded only to the code's decimal places.
_EXACT = Context(prec=200_000, rounding=ROUND_HALF_UP, Emax=1_000_000, Emin=-1_000_000)
GROUP = 3  # digits between commas
# Without a format, numbers outside these limits are displayed with an exponent.
GENERAL_DIGITS, MAX_PLAIN_DIGITS, MIN_PLAIN_POWER = 10, 15, -4


def format_number(section: Section, number: Decimal) -> str:
    """Formats a non-negative number according to a section."""
    mantissa, exponent = _cut(section.tokens, Kind.EXPONENT)
    whole, decimals = _cut(mantissa, Kind.POINT)
    whole, thousands = _without_scaling(whole)
    decimals, more = _without_scaling(decimals)
    power_of_ten = 2 * sum(token.kind is Kind.PERCENT for token in section.tokens) - GROUP * (thousands + more)
    number = number.scaleb(power_of_ten, _EXACT)
    places = _count_digits(decimals)
    if not exponent:
        return _mantissa(whole, decimals, _round(number, places))
    number, power = _normalize(number, max(1, _count_digits(whole)), places)
    sign = "-" if power < 0 else exponent[0].text[1:].strip("-")
    return f"{_mantissa(whole, decimals, number)}E{sign}{_whole_part(exponent[1:], str(abs(power)))}"


def format_general(number: Decimal) -> str:
    """Formats a number as Excel displays it in a sufficiently wide cell without a number format."""
    if number == number.to_integral_value() and abs(number) < 10**MAX_PLAIN_DIGITS:
        return str(int(number))
    rounded = number.normalize(Context(prec=GENERAL_DIGITS, rounding=ROUND_HALF_UP))
    power = rounded.adjusted()
    if MIN_PLAIN_POWER <= power < MAX_PLAIN_DIGITS:
        return f"{rounded:f}"
    mantissa = rounded.scaleb(-power).normalize()
    return f"{mantissa:f}E{power:+03d}"


def _cut(tokens: Sequence[Token], kind: Kind) -> tuple[list[Token], list[Token]]:
    """Splits tokens before the first one of the given kind."""
    position = next((position for position, token in enumerate(tokens) if token.kind is kind), len(tokens))
    return list(tokens[:position]), list(tokens[position:])


def _without_scaling(tokens: list[Token]) -> tuple[list[Token], int]:
    """Removes the commas that directly follow the last digit.

    Returns the tokens, and how many commas were removed. Each comma divides the number by 1,000.
    """
    last = max((position for position, token in enumerate(tokens) if token.kind is Kind.DIGIT), default=len(tokens))
    stop = last + 1
    while stop < len(tokens) and tokens[stop].kind is Kind.COMMA:
        stop += 1
    return tokens[: last + 1] + tokens[stop:], max(0, stop - last - 1)


def _count_digits(tokens: Sequence[Token]) -> int:
    return sum(token.kind is Kind.DIGIT for token in tokens)


def _round(number: Decimal, places: int) -> Decimal:
    return number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, _EXACT)


def _normalize(number: Decimal, digits: int, places: int) -> tuple[Decimal, int]:
    """Returns a number's mantissa and exponent. The exponent is a multiple of ``digits``."""
    power = number.adjusted() // digits * digits if number else 0
    scaled = _round(number.scaleb(-power, _EXACT), places)
    if scaled >= 10**digits:
        power += digits
        scaled = _round(number.scaleb(-power, _EXACT), places)
    return scaled, power


def _mantissa(whole: Sequence[Token], decimals: Sequence[Token], number: Decimal) -> str:
    whole_digits, _, fraction = f"{number:f}".partition(".")
    return _whole_part(whole, whole_digits.lstrip("0")) + _decimal_part(decimals, fraction.rstrip("0"))


def _whole_part(tokens: Sequence[Token], digits: str) -> str:
    """Fills placeholders with digits from right to left. The leftmost placeholder receives all remaining digits."""
    is_grouped = any(token.kind is Kind.COMMA for token in tokens)
    remaining, places, count = list(digits), _count_digits(tokens), 0
    parts: list[str] = []
    for token in reversed(tokens):
        if token.kind is not Kind.DIGIT:
            parts.append(_literal(token))
            continue
        places -= 1
        for _ in range(max(1, len(remaining)) if not places else 1):
            digit = remaining.pop() if remaining else {"0": "0", "?": " "}.get(token.text, "")
            if is_grouped and digit.strip() and count and count % GROUP == 0:
                parts.append(",")
            count += len(digit)
            parts.append(digit)
    return "".join(reversed(parts))


def _decimal_part(tokens: Sequence[Token], digits: str) -> str:
    """Returns the decimal point and the digits after it. Trailing zeros are omitted unless the code requires them."""
    remaining = list(reversed(digits))
    parts = []
    for token in tokens:
        if token.kind is Kind.DIGIT:
            parts.append(remaining.pop() if remaining else {"0": "0", "?": " "}.get(token.text, ""))
        else:
            parts.append("." if token.kind is Kind.POINT else _literal(token))
    return "".join(parts)


def _literal(token: Token) -> str:
    return token.text if token.kind in (Kind.LITERAL, Kind.PERCENT) else ""

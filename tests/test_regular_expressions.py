"""Every regular expression takes linear time for any input."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import polars as pl
import pytest

from tests.fast_mode import sized
from tests.regular_expressions import HardText, Use, hard_texts, uses_of

CLONE = Path(__file__).resolve().parents[1]
SIZE = 100_000
# In seconds of CPU time. On a tenth of the input, linear patterns take 1 to 5 ms, and quadratic patterns 0.05 to 1 s;
# on the entire input, quadratic patterns take 5 to 100 s.
SLOW_SECONDS, MAX_SECONDS = 0.02, 1.0
MAX_RATIO = 9  # for four times the input: about 4 if linear, 16 if quadratic
SOURCES = {
    path.relative_to(CLONE).as_posix(): path.read_text()
    for folder in ("plugins", "dags")
    for path in sorted((CLONE / folder).rglob("*.py"))
}
DYNAMIC = {
    "pattern": "[0-9]+",  # _matching's parameter; calls to _matching also count as uses
    "f'(password=){re.escape(secret)}'": "(password=)secret",
}
USES, UNREAD = uses_of(SOURCES, DYNAMIC)
DIFFERENT = list({(use.pattern, use.method, use.flags): use for use in reversed(USES)}.values())
# Input that the generator may not produce: strings that once took quadratic time, and likely attacks
KNOWN_HARD = [
    HardText("1", tail="x"),
    HardText("1", head="-", tail="."),
    HardText("1e"),
    HardText("FATAL: "),
    HardText(" ", head="FATAL:"),
    HardText('<row r="1">'),
    HardText("<sheet "),
    HardText("<si>"),
    HardText("["),
    HardText('"', tail='a"'),
    HardText("''", head="E'"),
    HardText("E'a'\n", tail="x"),
    HardText("a", head="$"),
    HardText("$a$ $b$ "),
    HardText("/*"),
    HardText("--\r"),
    HardText("%("),
    HardText("a", head="%("),
    HardText(",", head="0"),
    HardText("#,#"),
    HardText(":"),
    HardText("a.", tail="@"),
    HardText("_"),
    HardText(" ", tail="x"),
]


class TooSlowError(Exception):
    """A regular expression took longer than linear time allows."""


@contextmanager
def processor_limit(seconds: float) -> Iterator[None]:
    """Stops work that exceeds a limit on CPU time; unlike elapsed time, CPU time is independent of machine load."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlowError(f"more than {seconds} s of CPU time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def seconds_of(work: Callable[[str], object], text: str) -> float:
    began = time.process_time()
    work(text)
    return time.process_time() - began


def ensure_linear(work: Callable[[str], object], text: HardText) -> None:
    """Checks that 10 kB takes a few milliseconds, or that 100 kB takes about four times as long as 25 kB."""
    with processor_limit(MAX_SECONDS):
        if seconds_of(work, text.of(SIZE // 10)) > SLOW_SECONDS:
            quarter = min(seconds_of(work, text.of(SIZE // 4)) for _ in range(3))
            whole = min(seconds_of(work, text.of(SIZE)) for _ in range(3))
            assert whole < MAX_RATIO * quarter, f"{whole:.3f} s, and {quarter:.3f} s for a quarter: {text}"


def ensure_all_linear(work: Callable[[str], object], texts: Iterable[HardText]) -> None:
    for text in texts:
        ensure_linear(work, text)


def work_of(use: Use) -> Callable[[str], object]:
    compiled = re.compile(use.pattern, use.flags)
    method = getattr(compiled, "finditer" if use.method in ("sub", "subn", "split", "findall") else use.method)

    def work(text: str) -> None:
        given = text.encode() if isinstance(use.pattern, bytes) else text
        result = method(given)
        if use.method not in ("match", "fullmatch", "search"):
            for _ in result:
                pass

    return work


def test_all_regular_expressions_are_tested() -> None:
    assert UNREAD == []
    assert len(USES) > 40


def test_uses_of_finds_every_form_of_use() -> None:
    source = (
        "NAME = re.compile('a+b', re.DOTALL)\nWORD = 'c'\nLOST = re.compile('d')\nMADE = re.compile(f())\n"
        "NAME.sub('', x)\nre.split('[/?]', x)\nre.search(WORD, x)\n_matching('e', 'words')\nre.match(x + y, z)\n"
    )
    uses, unread = uses_of({"a.py": source}, {})
    assert [(use.place, use.method, use.pattern, use.flags) for use in uses] == [
        ("a.py:NAME", "sub", "a+b", re.DOTALL),
        ("a.py:'[/?]'", "split", "[/?]", 0),
        ("a.py:WORD", "search", "c", 0),
        ("a.py:'e'", "fullmatch", "e", 0),
    ]
    assert unread == ["a.py: re.compile(f())", "a.py: x + y", "a.py:LOST is never called", "a.py:MADE is never called"]


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", "fullmatch"),
        (r"\s+$", "search"),
    ],
)
def test_hard_texts_detect_quadratic_expressions(pattern: str, method: str) -> None:
    work = work_of(Use("here", method, pattern))
    with pytest.raises((TooSlowError, AssertionError)):
        ensure_all_linear(work, hard_texts(pattern))


@pytest.mark.parametrize("use", DIFFERENT, ids=str)
def test_regular_expression_is_linear_in_100_kb_of_hostile_text(use: Use) -> None:
    work, texts = work_of(use), list(hard_texts(use.pattern, use.flags))
    ensure_all_linear(work, (*KNOWN_HARD, *texts[:: sized(1, fast=4)]))


def test_no_group_has_a_possessive_quantifier() -> None:
    """Python 3.11.0 to 3.11.4 match these groups incorrectly (python/cpython#106052), and Debian 12 has 3.11.2."""
    possessive_group = re.compile(r"(?<!\\)\)(?:[*+?]|\{[0-9,]+\})\+|\(\?>")
    assert possessive_group.search(r"(?:ab?c)*+")
    assert [use.pattern for use in USES if possessive_group.search(str(use.pattern))] == []


def test_other_engines_are_linear_by_construction() -> None:
    written = "\n".join(SOURCES.values())
    assert "python-re" not in written  # with python-re, pydantic would not use the Rust engine that Polars uses
    values = pl.Series(["1" * SIZE + "x", "_x" * SIZE, " " * SIZE])
    assert values.str.contains(r"^(\d+\.?\d*)+$").to_list() == [False, False, False]


def test_pages_have_no_regular_expression() -> None:
    for path in (CLONE / "plugins/quire/portal").glob("static/*.js"):
        text = re.sub(r"//.*", "", path.read_text())
        assert not re.search(r"RegExp|[=(,:]\s*/[^/*\s]|\.(match|matchAll|search)\(", text), path.name
    for path in (CLONE / "plugins/quire/portal/templates").glob("*.html"):
        assert "pattern=" not in path.read_text(), path.name

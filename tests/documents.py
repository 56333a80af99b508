"""Reads links, code spans, code blocks and tables in the documentation."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from quire.settings import CLONE

DOCS = CLONE / "docs"
PAGES = sorted([*CLONE.glob("*.md"), *DOCS.rglob("*.md")])
_FENCE = re.compile(r"^([ ]*)```(\w*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_LINK = re.compile(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced code block.

    Args:
        language: the word after the fence.
        text: the content, without the fence's indentation.
    """

    language: str
    text: str


def identify(page: Path) -> str:
    """Returns a page's path in the repository, which serves as a test ID."""
    return page.relative_to(CLONE).as_posix()


def blocks(page: Path) -> list[Block]:
    """Returns a page's fenced code blocks."""
    return [
        Block(language=language, text=re.sub(f"^{indent}", "", text, flags=re.MULTILINE))
        for indent, language, text in _FENCE.findall(page.read_text())
    ]


def prose(page: Path) -> str:
    """Returns a page without its code blocks."""
    return _FENCE.sub("", page.read_text())


def spans(page: Path) -> list[str]:
    """Returns the code spans in a page's prose, with spaces instead of line breaks."""
    return [" ".join(span.split()) for span in _SPAN.findall(prose(page))]


def code(page: Path) -> list[str]:
    """Returns the code spans and the lines of shell blocks; a trailing backslash joins a line to the next one."""
    shell = [block.text.replace("\\\n", " ") for block in blocks(page) if block.language == "sh"]
    return [*spans(page), *(line for text in shell for line in text.splitlines())]


def local_links(page: Path) -> list[str]:
    """Returns a page's links to files in the repository."""
    links = (link or source for link, source in _LINK.findall(prose(page)))
    return [link for link in links if not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """Returns a page's heading anchors, as GitHub derives them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def first_cells(page: Path, heading: str) -> list[str]:
    """Returns the code spans in the first column of each table in the section under a heading."""
    level = heading.split()[0]
    section = f"\n{prose(page)}".partition(f"\n{heading}\n")[2]
    section = re.split(rf"^#{{1,{len(level)}}} ", section, maxsplit=1, flags=re.MULTILINE)[0]
    rows = re.findall(r"^\| ([^|]*) \|", section, re.MULTILINE)
    return [span for row in rows for span in _SPAN.findall(row)]


@cache
def repository_files() -> tuple[Path, ...]:
    """Returns the files that Git tracks or does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=CLONE, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return tuple(path for line in listed.splitlines() if (path := CLONE / line).is_file())


@cache
def source_text() -> str:
    """Returns the contents of all files outside the documentation, concatenated."""
    texts = []
    for path in repository_files():
        content = b"" if path.suffix == ".md" else path.read_bytes()
        texts.append("" if b"\0" in content else content.decode())  # images contain NUL bytes
    return "\n".join(texts)

"""Prints how many fault matrix cases had each outcome, as tables for docs/explanation/reliability.md."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

OUTCOMES = "outcomes"
COLUMNS = ("succeeded", "failed", "killed", "not reached", "broken")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints, for each fault and each scenario, how many cases had each outcome."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    outcomes = [
        value
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == OUTCOMES
    ]
    if outcomes:
        terminalreporter.section("fault matrix")
        for kind in ("fault", "scenario"):
            for line in (*count_table(kind, outcomes), ""):
                terminalreporter.write_line(line)


def count_table(kind: str, results: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yields a Markdown table of counts, line by line; ``kind`` is ``fault`` or ``scenario``."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for outcomes in results:
        for name in (outcomes[kind], "all"):
            counts[name].update({column: outcomes.get(column, 0) for column in COLUMNS})
    total = counts.pop("all")
    yield f"| {kind} | cases | {' | '.join(COLUMNS)} |"
    yield f"|---|{'---|' * (len(COLUMNS) + 1)}"
    for name, counted in (*counts.items(), ("all", total)):
        cases = counted.total() - counted["broken"]
        yield f"| {name} | {cases} | {' | '.join(str(counted[column]) for column in COLUMNS)} |"

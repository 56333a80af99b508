"""Injects every possible fault into every request that a command sends, and checks that Quire keeps its promises.

docs/explanation/reliability.md states the promises. The regular test suite runs a sample; ``make test-slow`` runs the
full matrix and prints the case counts by outcome for each fault and scenario.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from tests.faults.counts import OUTCOMES
from tests.faults.matrix import CaseResult, Matrix
from tests.faults.scenarios import SCENARIOS

pytestmark = pytest.mark.server

SEED = 16
CASES_OF_SAMPLE = 24
COMBINATIONS = [(scenario.name, fault) for scenario in SCENARIOS.values() for fault in scenario.faults]
Record = Callable[[str, object], None]


def broken(results: Sequence[CaseResult]) -> list[str]:
    """Returns each broken promise together with its case."""
    return [f"{result.case}: {promise}" for result in results for promise in result.broken]


def sample() -> list[tuple[str, str]]:
    """Returns pairs of a scenario and a fault, which are the same in every run."""
    chosen = random.Random(SEED).sample(COMBINATIONS, CASES_OF_SAMPLE)  # noqa: S311 - not secret
    return sorted(chosen)


def test_sample_of_the_fault_matrix_keeps_every_promise(matrix: Matrix) -> None:
    choice = random.Random(SEED)  # noqa: S311 - not secret
    cases = []
    for name, fault in sample():
        scenario = SCENARIOS[name]
        if targets := matrix.targets(scenario, scenario.faults[fault]):
            cases.append((scenario, scenario.faults[fault], choice.choice(targets)))
    results = matrix.run_all(cases)
    assert len(results) > CASES_OF_SAMPLE / 2
    assert broken(results) == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fault"), COMBINATIONS, ids=[f"{name}-{fault}" for name, fault in COMBINATIONS])
def test_fault_at_every_request_keeps_every_promise(
    matrix: Matrix, record_property: Record, name: str, fault: str
) -> None:
    scenario = SCENARIOS[name]
    kind = scenario.faults[fault]
    results = matrix.run_all([(scenario, kind, target) for target in matrix.targets(scenario, kind)])
    counted = Counter(result.outcome for result in results)
    counted["broken"] = sum(bool(result.broken) for result in results)
    record_property(OUTCOMES, {"scenario": name, "fault": fault, **counted})
    assert broken(results) == []

"""Runs the fault matrix's cases: a command with a fault in one request, followed by checks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock

from tests.faults.buckets import PublishedState, read_state
from tests.faults.fault_types import Fault
from tests.faults.processes import CommandResult
from tests.faults.s3_proxy import SeenRequest
from tests.faults.scenarios import Scenario
from tests.faults.world import CASES_AT_ONCE, Proxy, World

SECONDS_TO_MEET = 60
Case = tuple[Scenario, Fault, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """The requests that a scenario's command sends if there is no fault, and the resulting state."""

    requests: tuple[SeenRequest, ...]
    state: PublishedState


@dataclass(slots=True, kw_only=True)
class CaseResult:
    """The outcome of a command run with a fault, and the promises that the command broke."""

    case: str
    outcome: str = "not reached"
    broken: list[str] = field(default_factory=list)


class Matrix:
    """Runs cases, and determines each scenario's expectation once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._expected: dict[str, Expectation] = {}
        self._lock = Lock()

    def expectation(self, scenario: Scenario) -> Expectation:
        """Returns a scenario's expectation."""
        with self._lock:
            if scenario.name not in self._expected:
                self._expected[scenario.name] = self._dry_run(scenario)
            return self._expected[scenario.name]

    def targets(self, scenario: Scenario, fault: Fault) -> list[str]:
        """Returns the names of the requests to which a fault applies, sorted."""
        return sorted(request.name for request in self.expectation(scenario).requests if fault.applies(request))

    def run_all(self, cases: Sequence[Case]) -> list[CaseResult]:
        """Runs cases concurrently."""
        with ThreadPoolExecutor(CASES_AT_ONCE) as pool:
            return list(pool.map(lambda case: self.run_case(*case), cases))

    def run_case(self, scenario: Scenario, fault: Fault, target: str) -> CaseResult:
        """Runs a scenario with a fault in one request, and then the commands that must succeed."""
        expected = self.expectation(scenario)
        result = CaseResult(case=f"{scenario.name}: {fault.name}: {target}")
        with self._world.new_bucket() as bucket:
            scenario.prepare(self._world, bucket)
            with self._world.proxy(scenario.behind, target=target, inject=fault.inject) as proxy:
                processes = self._run_with_fault(scenario, fault, proxy, bucket, result)
            state, problems = read_state(self._world.store(bucket))
            result.broken += _unnamed_files(processes, state)
            result.broken += [f"after the fault, {problem}" for problem in (*problems, *_other_cells(state, expected))]
            sweeps = scenario.sweeps_always or result.outcome != "succeeded"
            for arguments in (*scenario.after, scenario.sweep) if sweeps else scenario.after:
                again = self._world.run(bucket, *arguments)
                if again.status:
                    result.broken.append(f"{' '.join(arguments[:2])} failed afterwards: {again.stderr.strip()}")
            result.broken += self._final_problems(bucket, state, expected, is_swept=sweeps)
        return result

    def _dry_run(self, scenario: Scenario) -> Expectation:
        with self._world.new_bucket() as bucket:
            scenario.prepare(self._world, bucket)
            with self._world.proxy(scenario.behind) as proxy:
                ended = self._world.runner.run(scenario.arguments, self._world.environment(bucket, proxy))
            assert ended.status == 0, ended
            for arguments in (*scenario.after, scenario.sweep):
                again = self._world.run(bucket, *arguments)
                assert again.status == 0, again
            state, problems = read_state(self._world.store(bucket))
        assert problems == []
        return Expectation(requests=tuple(proxy.seen), state=state)

    def _run_with_fault(
        self, scenario: Scenario, fault: Fault, proxy: Proxy, bucket: str, result: CaseResult
    ) -> list[CommandResult]:
        """Returns the results from the process with the fault and from the rival commands."""
        command = self._world.runner.start(scenario.arguments, self._world.environment(bucket, proxy))
        proxy.kill = command.kill
        if scenario.rival_starts == "meanwhile":
            proxy.met.wait(SECONDS_TO_MEET)
        rivals = [self._world.run(bucket, *arguments) for arguments in scenario.rival]
        if fault.promise == "sleeps":
            proxy.released.set()
        ended = command.result()
        result.broken += [f"the other process failed: {rival.stderr}" for rival in rivals if rival.status]
        if proxy.met.is_set():
            result.outcome = _outcome(ended)
            result.broken += _broken_promises(ended, fault)
        elif scenario.rival_starts == "meanwhile" or not scenario.rival:
            result.broken.append("the target request was not sent")
        return [ended, *rivals]

    def _final_problems(
        self, bucket: str, before: PublishedState, expected: Expectation, *, is_swept: bool
    ) -> list[str]:
        state, problems = read_state(self._world.store(bucket))
        broken = [f"at the end, {problem}" for problem in (*problems, *_other_cells(state, expected))]
        if set(state.manifests) != set(expected.state.manifests):
            broken.append(f"at the end, the manifests are {sorted(state.manifests)}")
        for key, body in before.manifests.items():
            if state.manifests.get(key, body) != body:
                broken.append(f"{key} was written twice")
        if is_swept and state.layout != expected.state.layout:
            broken.append(f"at the end, {_difference(state.layout, expected.state.layout)}")
        return broken


def _outcome(ended: CommandResult) -> str:
    return "killed" if ended.status is None else "succeeded" if ended.status == 0 else "failed"


def _broken_promises(ended: CommandResult, fault: Fault) -> Iterator[str]:
    allowed = {"survives": ("succeeded",), "dies": ("killed",)}.get(fault.promise, ("succeeded", "failed"))
    outcome = _outcome(ended)
    if outcome not in allowed:
        yield f"the process {outcome}: {ended.stderr.strip()}"
    last_line = (ended.stderr.strip().splitlines() or [""])[-1]
    if outcome == "failed" and (not last_line.startswith("quire: ") or last_line.startswith("quire: unexpected")):
        yield f"it failed without an error line of Quire: {ended.stderr.strip()}"


def _unnamed_files(processes: Iterable[CommandResult], state: PublishedState) -> Iterator[str]:
    """Describes each published file that no manifest lists because a newer manifest has replaced the file's own."""
    named = {file["key"] for manifest in state.manifests.values() for file in json.loads(manifest)["files"]}
    for process in processes:
        if process.status == 0 and process.stdout.startswith("{"):
            for file in json.loads(process.stdout)["files"]:
                if file["key"] not in named:
                    yield f"{file['key']} was published, but no manifest names it"


def _other_cells(state: PublishedState, expected: Expectation) -> Iterator[str]:
    for (manifest, name), cells in state.cells.items():
        if expected.state.cells.get((manifest, name), cells) != cells:
            yield f"{name} of {manifest} has different cells"


def _difference(layout: Counter[str], expected: Counter[str]) -> str:
    return f"additional objects: {dict(layout - expected)}, missing objects: {dict(expected - layout)}"

"""The fault matrix's scenarios: a command to test, and the commands that run before and after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from tests.faults.fault_types import FAULTS, SOURCE_FAULTS, ZOMBIES, Fault
from tests.faults.world import Behind, World, prepare_garbage, prepare_january

Arguments = tuple[str, ...]


def _range(command: str, report: str, last_day: str) -> Arguments:
    return (command, report, "--start", "2013-01-01", "--end", last_day)


RUN = (*_range("run", "events", "2013-01-31"), "--json")
BACKFILL = _range("backfill", "events", "2013-02-28")
RUN_EXTENDED = (*_range("run", "events", "2013-02-28"), "--json")
RUN_BACKFILLED = _range("run", "events", "2013-02-28")
RUN_LARGE = (*_range("run", "large", "2013-01-31"), "--json")
SWEEP_ORPHANS = ("gc", "3")  # after three days, objects left by killed processes have expired, but runs have not
SWEEP_RUNS = ("gc", "31")
RIVALRY = ("lost response", "truncated", "500", "409", "412", "slow", "SIGKILL before", "SIGKILL after")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A command with a fault, and the commands that run before and after it.

    Attributes:
        name: the scenario's name in reports.
        arguments: the command that sends the request with the fault.
        after: the commands that must succeed afterward.
        sweep: the last command, which deletes the objects that a failed or killed command left behind.
        sweeps_always: whether ``sweep`` runs even if the command with the fault succeeded.
        prepare: a function that fills the bucket.
        faults: the faults to test.
        rival: the commands that another process runs.
        rival_starts: when the rival starts: together with the command, or while a fault suspends the command.
        behind: the server to which the proxy forwards requests.
    """

    name: str
    arguments: Arguments
    after: tuple[Arguments, ...]
    sweep: Arguments = SWEEP_ORPHANS
    sweeps_always: bool = False
    prepare: Callable[[World, str], None] = lambda world, bucket: None
    faults: Mapping[str, Fault]
    rival: tuple[Arguments, ...] = ()
    rival_starts: Literal["at once", "meanwhile"] = "at once"
    behind: Behind = "s3"


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="run", arguments=RUN, after=(RUN,), faults=FAULTS),
        Scenario(name="multipart run", arguments=RUN_LARGE, after=(RUN_LARGE,), faults=FAULTS),
        Scenario(
            name="extended run",
            arguments=RUN_EXTENDED,
            after=(RUN_EXTENDED, RUN),
            prepare=prepare_january,
            faults=FAULTS,
        ),
        Scenario(name="backfill", arguments=BACKFILL, after=(BACKFILL, RUN_BACKFILLED), faults=FAULTS),
        Scenario(
            name="gc",
            arguments=SWEEP_RUNS,
            after=(SWEEP_RUNS,),
            sweep=SWEEP_RUNS,
            sweeps_always=True,
            prepare=prepare_garbage,
            faults=FAULTS,
        ),
        Scenario(
            name="run, source",
            arguments=RUN,
            after=(RUN,),
            faults=SOURCE_FAULTS,
            behind="postgres",
        ),
        Scenario(
            name="two publishers",
            arguments=RUN,
            after=(RUN,),
            faults={name: FAULTS[name] for name in RIVALRY},
            rival=(RUN,),
        ),
        Scenario(
            name="zombie",
            arguments=RUN,
            after=(RUN,),
            faults=ZOMBIES,
            rival=(RUN,),
            rival_starts="meanwhile",
        ),
        Scenario(
            name="zombie, swept",
            arguments=RUN,
            after=(RUN,),
            faults=ZOMBIES,
            rival=(RUN, SWEEP_ORPHANS),
            rival_starts="meanwhile",
        ),
    )
}

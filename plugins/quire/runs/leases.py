"""Leases: a run renews its own while it is active, and retention leaves the run's report alone meanwhile.

A lease ends when its run does. Where a worker is killed, or no worker takes the next task of a run in time, it expires;
the run notices when it goes on, and publish then looks again at each partition that it is about to name.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote, unquote

from quire.errors import ReportError
from quire.object_store import Store
from quire.report.request import RunRequest

logger = logging.getLogger(__name__)

LEASES = "leases/"
RENEW_EVERY = timedelta(minutes=1)
EXPIRES_AFTER = timedelta(minutes=5)
RELEASE_SECONDS = 10  # to wait for a renewal under way; one that arrives later expires by itself
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while a machine sleeps, where there is one
LAPSED = b"lapsed"
UNBROKEN = b"unbroken"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveRun:
    """A run that holds a lease, and when it was renewed, by the store's clock."""

    run_id: str
    renewed_at: datetime

    def describe(self, now: datetime) -> str:
        """Returns what somebody who waits for the run wants to know."""
        seconds = max(0, round((now - self.renewed_at).total_seconds()))
        minutes = round(EXPIRES_AFTER.total_seconds() / 60)
        return (
            f"run {self.run_id} is active, its lease was renewed {seconds} s ago; "
            f"the lease ends with the run, or {minutes} minutes after its last renewal"
        )


def monotonic_seconds() -> float:
    """Returns the time of a clock that only moves on, in seconds, a sleeping machine's too where that is known."""
    return time.clock_gettime(CLOCK)


class Lease:
    """One run's lease in the store.

    Args:
        request: of the run.
        store: where the lease lies.
        first: whether this is the beginning of the run; else the lease must be there still.
        clock: seconds that pass.
    """

    def __init__(
        self,
        request: RunRequest,
        *,
        store: Store,
        first: bool = True,
        clock: Callable[[], float] = monotonic_seconds,
    ) -> None:
        self._key, self._store, self._clock = lease_key(request.report, request.run_id), store, clock
        self._renewed = clock()
        self._lapsed = not first and self._is_broken()
        self._write()

    @property
    def lapsed(self) -> bool:
        """Whether there was a time since the run began when retention may have seen no lease."""
        if self._clock() - self._renewed > EXPIRES_AFTER.total_seconds():
            self._lapsed = True
        return self._lapsed

    def has_lapsed(self) -> bool:
        """Whether ``lapsed``, or somebody else released the lease, as a cancellation does.

        Raises:
            StoreRefusedError, StoreUnavailableError: the store cannot be asked.
        """
        if self._is_broken():
            self._lapsed = True
        return self.lapsed

    def renew(self) -> None:
        """Writes the lease again; marks it as lapsed where it was gone, or marked so by another task.

        Raises:
            StoreRefusedError, StoreUnavailableError: the store cannot be asked, or does not take it.
        """
        self.has_lapsed()
        self._write()

    def _write(self) -> None:
        unbroken = not self.lapsed
        began = self._clock()
        self._store.put(self._key, UNBROKEN if unbroken else LAPSED, content_type="text/plain")
        if unbroken and self.lapsed:  # meanwhile, in a slow store: the next task has to know
            self._store.put(self._key, LAPSED, content_type="text/plain")
        self._renewed = began

    def release(self) -> None:
        """Takes the lease away."""
        self._store.delete([self._key])

    def _is_broken(self) -> bool:
        age = self._store.age(self._key)
        return age is None or age > EXPIRES_AFTER or self._store.read(self._key) != UNBROKEN


@contextmanager
def hold_lease(
    request: RunRequest, *, store: Store, first: bool = True, release: bool = True, every: timedelta = RENEW_EVERY
) -> Iterator[Lease]:
    """Holds a run's lease for as long as the block lasts; a thread renews it.

    Args:
        request: of the run.
        store: where the lease lies.
        first: as ``Lease`` has it.
        release: takes the lease away at the end; else another task of the run takes it over.
        every: how often it is renewed.
    """
    lease = Lease(request, store=store, first=first)
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(every.total_seconds()):
            try:
                lease.renew()
            except ReportError as error:
                logger.warning("the lease of run %s was not renewed: %s", request.run_id, error)

    renewing = threading.Thread(target=renew, name="lease", daemon=True)
    renewing.start()
    try:
        yield lease
    finally:
        ended.set()
        renewing.join(RELEASE_SECONDS)
        if release:
            release_lease(request.report, request.run_id, store=store)


def release_lease(report: str, run_id: str, *, store: Store) -> None:
    """Takes a run's lease away; where the store does not do it, the lease expires."""
    try:
        store.delete([lease_key(report, run_id)])
    except ReportError as error:  # the run's own error matters more
        logger.warning("the lease of run %s expires by itself: %s", run_id, error)


def active_runs(report: str, *, store: Store, now: datetime) -> list[ActiveRun]:
    """Returns the runs of a report that hold a lease; takes expired ones away."""
    leases = list(store.list(f"{LEASES}{report}/"))
    expired = {lease.key for lease in leases if now - lease.modified > EXPIRES_AFTER}
    store.delete(expired)
    return [
        ActiveRun(run_id=unquote(lease.key.rpartition("/")[2]), renewed_at=lease.modified)
        for lease in leases
        if lease.key not in expired
    ]


def lease_key(report: str, run_id: str) -> str:
    """Returns the key of a run's lease."""
    return f"{LEASES}{report}/{quote(run_id, safe='')}"

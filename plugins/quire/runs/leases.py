"""Runs acquire, renew and release leases; retention skips a report while one of its runs holds a lease.

If a worker is killed, or no worker starts the run's next task in time, the lease expires. When the run continues, it
detects the expired lease, and publish then checks that every partition still exists.
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
RELEASE_SECONDS = 10  # maximum wait for a renewal in progress; if it finishes later, the lease simply expires
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # CLOCK_BOOTTIME also counts while the machine sleeps
LAPSED = b"lapsed"
UNBROKEN = b"unbroken"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveRun:
    """A run that holds a lease, and when the lease was last renewed according to the store's clock."""

    run_id: str
    renewed_at: datetime

    def describe(self, now: datetime) -> str:
        """Describes the run's lease: how long ago it was renewed, and when it expires."""
        seconds = max(0, round((now - self.renewed_at).total_seconds()))
        minutes = round(EXPIRES_AFTER.total_seconds() / 60)
        return (
            f"run {self.run_id} is active: its lease was renewed {seconds} s ago "
            f"and expires {minutes} min after the last renewal"
        )


def monotonic_seconds(read_clock: Callable[[int], float] = time.clock_gettime) -> float:
    """Reads a monotonic clock in seconds. If the system supports it, the clock also counts while the machine sleeps."""
    return read_clock(CLOCK)


class Lease:
    """A run's lease in the store; the constructor acquires a new lease or takes over an existing one.

    Args:
        request: the run request.
        store: the object store.
        first: whether the run starts now; otherwise the run must already hold a lease.
        clock: returns monotonic time in seconds.
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
        self._renewed_at = clock()
        self._lapsed = not first and self._is_broken()
        self._write()

    @property
    def lapsed(self) -> bool:
        """Whether, at any time since the run started, the lease may have been expired or missing."""
        if self._clock() - self._renewed_at > EXPIRES_AFTER.total_seconds():
            self._lapsed = True
        return self._lapsed

    def has_lapsed(self) -> bool:
        """Returns whether the lease has lapsed, or another process has released it, for example to cancel the run.

        Raises:
            StoreRefusedError, StoreUnavailableError: the store rejects the request or cannot be reached.
        """
        if self._is_broken():
            self._lapsed = True
        return self.lapsed

    def renew(self) -> None:
        """Renews the lease; marks it as lapsed if it was missing, or if another task has marked it as lapsed.

        Raises:
            StoreRefusedError, StoreUnavailableError: the store rejects the request or cannot be reached.
        """
        self.has_lapsed()
        self._write()

    def _write(self) -> None:
        unbroken = not self.lapsed
        started_at = self._clock()
        self._store.put(self._key, UNBROKEN if unbroken else LAPSED, content_type="text/plain")
        if unbroken and self.lapsed:  # the lease expired during the write, and the next task must know this
            self._store.put(self._key, LAPSED, content_type="text/plain")
        self._renewed_at = started_at

    def release(self) -> None:
        """Deletes the lease."""
        self._store.delete([self._key])

    def _is_broken(self) -> bool:
        age = self._store.age(self._key)
        return age is None or age > EXPIRES_AFTER or self._store.read(self._key) != UNBROKEN


@contextmanager
def hold_lease(
    request: RunRequest, *, store: Store, first: bool = True, release: bool = True, every: timedelta = RENEW_EVERY
) -> Iterator[Lease]:
    """Holds a run's lease for the duration of the block; a thread renews the lease.

    Args:
        request: the run request.
        store: the object store.
        first: whether the run starts now; see ``Lease``.
        release: whether to release the lease after the block; otherwise the run's next task takes it over.
        every: the interval between renewals.
    """
    lease = Lease(request, store=store, first=first)
    stopped = threading.Event()

    def renew() -> None:
        while not stopped.wait(every.total_seconds()):
            try:
                lease.renew()
            except ReportError as error:
                logger.warning("cannot renew run %s's lease: %s", request.run_id, error)

    renewer = threading.Thread(target=renew, name="lease", daemon=True)
    renewer.start()
    try:
        yield lease
    finally:
        stopped.set()
        renewer.join(RELEASE_SECONDS)
        if release:
            release_lease(request.report, request.run_id, store=store)


def release_lease(report: str, run_id: str, *, store: Store) -> None:
    """Releases a run's lease; if the store returns an error, logs a warning and lets the lease expire."""
    try:
        store.delete([lease_key(report, run_id)])
    except ReportError as error:  # this error must not hide the run's own error
        logger.warning("cannot release run %s's lease, which will expire: %s", run_id, error)


def active_runs(report: str, *, store: Store, now: datetime) -> list[ActiveRun]:
    """Returns a report's runs that hold a lease, and deletes expired leases."""
    leases = list(store.list(f"{LEASES}{report}/"))
    expired = {lease.key for lease in leases if now - lease.modified > EXPIRES_AFTER}
    store.delete(expired)
    return [
        ActiveRun(run_id=unquote(lease.key.rpartition("/")[2]), renewed_at=lease.modified)
        for lease in leases
        if lease.key not in expired
    ]


def lease_key(report: str, run_id: str) -> str:
    """Returns a run's lease key."""
    return f"{LEASES}{report}/{quote(run_id, safe='')}"

"""Which runs are at work: housekeeping leaves alone the reports that they are of."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from quire.artifacts import RunRequest
from quire.errors import ReportError
from quire.object_store import ObjectStore
from quire.serialization import digest

logger = logging.getLogger(__name__)

NOTES = "running/"
LONGEST_RUN = timedelta(days=2)  # without a sign: then it was killed
SECONDS_BETWEEN_NOTES = 3600


def announce_run(request: RunRequest, *, store: ObjectStore) -> None:
    """Notes that a run begins, before it looks for anything that is stored; or that it is at work still."""
    store.put(_key(request), request.run_id.encode(), content_type="text/plain; charset=utf-8")


def end_run(request: RunRequest, *, store: ObjectStore) -> None:
    """Takes the note away again."""
    store.delete([_key(request)])


@contextmanager
def announced(request: RunRequest, *, store: ObjectStore) -> Iterator[Callable[[], None]]:
    """Notes a run for as long as the block lasts; gives what is to be called now and then, so that the note stays."""
    announce_run(request, store=store)
    noted = time.monotonic()

    def stay() -> None:
        nonlocal noted
        if time.monotonic() - noted > SECONDS_BETWEEN_NOTES:
            announce_run(request, store=store)
            noted = time.monotonic()

    try:
        yield stay
    except BaseException:
        try:
            end_run(request, store=store)
        except ReportError as error:  # the run's own error is the one to tell; the note is taken away in time
            logger.warning("the note of run %s stays for a while: %s", request.run_id, error)
        raise
    end_run(request, store=store)


def is_running(report: str, *, store: ObjectStore, now: datetime) -> bool:
    """Whether a run of a report is at work; notes of runs that were killed are taken away."""
    notes = list(store.list(f"{NOTES}{report}/"))
    killed = {note.key for note in notes if now - note.modified > LONGEST_RUN}
    store.delete(killed)
    return len(killed) < len(notes)


def _key(request: RunRequest) -> str:
    return f"{NOTES}{request.report}/{digest(request.run_id)}"

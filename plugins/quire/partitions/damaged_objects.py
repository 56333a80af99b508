"""What a damaged or lost object costs: the work that met it starts again, and meets a cache miss in its place."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from quire.errors import DamagedObjectError, IntegrityError

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3

Outcome = TypeVar("Outcome")


def retry_on_damage(work: Callable[[], Outcome]) -> Outcome:
    """Does the work, and does it again when it meets damaged objects; readers have made cache misses of them.

    Raises:
        IntegrityError: objects were damaged each time.
    """
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            return work()
        except DamagedObjectError as error:
            logger.warning("%s; that was attempt %s of %s", error, attempt, MAX_ATTEMPTS)
            last = error
    raise IntegrityError(
        f"{last.message}; damaged in all {MAX_ATTEMPTS} attempts. Check the object store.",
        report=last.report,
        partition=last.partition,
    ) from last

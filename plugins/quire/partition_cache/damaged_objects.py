"""Retries work that has read a damaged or missing object. The reader evicts such objects from the cache."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from quire.errors import DamagedObjectError, IntegrityError

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3

Outcome = TypeVar("Outcome")


def retry_on_damage(work: Callable[[], Outcome]) -> Outcome:
    """Calls ``work``, and repeats the call if it reads a damaged object.

    Raises:
        IntegrityError: every attempt read a damaged object.
    """
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            return work()
        except DamagedObjectError as error:
            logger.warning("%s (attempt %s of %s)", error, attempt, MAX_ATTEMPTS)
            last_error = error
    raise IntegrityError(
        f"{last_error.message}; all {MAX_ATTEMPTS} attempts failed. Check the object store.",
        report=last_error.report,
        partition=last_error.partition,
    ) from last_error

"""The deadline of a reader's job, such as an estimate, and the errors of jobs that were not completed."""

from __future__ import annotations

import threading
import time

from quire.errors import TransientError

RETRY_HINT = "Try again in a few seconds."


class WorkUnavailableError(TransientError):
    """The job timed out, or all slots are taken."""


class SupersededError(TransientError):
    """The same user has since requested another estimate."""


class Deadline:
    """A job's deadline.

    ``cancelled`` is set when no caller is waiting for the result anymore, unless the job is shared. If the reason is a
    newer request from the same user, ``is_superseded`` is also set.

    Args:
        seconds: the time until the deadline.
        noun: the job's name in error messages.
    """

    def __init__(self, seconds: float, noun: str = "estimate") -> None:
        self._end = time.monotonic() + seconds
        self._noun = noun
        self.cancelled = threading.Event()
        self.is_superseded = False

    @property
    def remaining(self) -> float:
        """The seconds until the deadline, or 0 if it has passed."""
        return max(0.0, self._end - time.monotonic())

    def ensure_time_left(self) -> None:
        """Checks that a caller is still waiting for the result.

        Raises:
            WorkUnavailableError: the deadline has passed, or the job was canceled.
        """
        if self.cancelled.is_set() or not self.remaining:
            raise self.timeout_error()

    def timeout_error(self) -> WorkUnavailableError:
        """Returns the error for a job that timed out."""
        advice = "Choose a shorter date range, or try again." if self._noun == "estimate" else "Try again."
        return WorkUnavailableError(f"The {self._noun} timed out. {advice}")

    def ensure_newest(self) -> None:
        """Checks that the same user has not requested a newer estimate.

        Raises:
            SupersededError: the same user has requested a newer estimate.
        """
        if self.is_superseded:
            raise SupersededError("A newer estimate has replaced this one.")

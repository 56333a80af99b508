"""The largest request that a report accepts."""

from __future__ import annotations

from pydantic import Field

from quire.report.definition.strict_model import StrictModel

MAX_READER_DAYS = 3_700  # about ten years; the default limit for readers


class RequestLimits(StrictModel):
    """The largest request that a report accepts; a limit is None if the definition does not set it.

    Args:
        days: the maximum number of days in a run's date range.
        rows: the maximum estimated number of rows in a portal request; other requests have no such limit.
    """

    days: int | None = Field(default=None, ge=1, strict=True)
    rows: int | None = Field(default=None, ge=1, strict=True)

"""The largest request that a report accepts."""

from __future__ import annotations

from pydantic import Field

from quire.report.definition.strict_model import StrictModel

MAX_READER_DAYS = 3_700  # the default limit for readers, about ten years


class RequestLimits(StrictModel):
    """The largest request that the report accepts; None if the definition sets no limit.

    Args:
        days: maximum length of the date range of any run.
        rows: maximum estimated number of rows in a portal request; the rows of other runs are not estimated.
    """

    days: int | None = Field(default=None, ge=1, strict=True)
    rows: int | None = Field(default=None, ge=1, strict=True)

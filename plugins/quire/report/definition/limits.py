"""The largest request that a report accepts."""

from __future__ import annotations

from pydantic import Field

from quire.report.definition.strict_model import StrictModel

MAX_READER_DAYS = 3_700  # ten years: the longest date range of a reader where the definition sets none


class RequestLimits(StrictModel):
    """The largest request the report accepts. None means that the definition sets no limit of its own.

    ``days`` applies to every run, ``rows`` to requests in the portal: other runs are not estimated.

    Args:
        days: the longest date range, in days.
        rows: the most rows a reader may request, by the estimate.
    """

    days: int | None = Field(default=None, ge=1, strict=True)
    rows: int | None = Field(default=None, ge=1, strict=True)

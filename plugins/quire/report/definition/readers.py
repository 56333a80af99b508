"""Whom a report's readers contact, and how much they may request."""

from __future__ import annotations

from pydantic import Field

from quire.report.definition.part import Part
from quire.report.definition.scalars import Address, Label

MAX_READER_DAYS = 3_700  # ten years: the longest date range of a reader where the definition sets none


class Owner(Part):
    """The person or team that answers questions about the report.

    Args:
        name: as readers see it.
        email: the address readers write to.
    """

    name: Label
    email: Address | None = None


class Limits(Part):
    """The largest request the report accepts. None means that the definition sets no limit of its own.

    ``days`` applies to every run, ``rows`` to requests in the portal: other runs are not estimated.

    Args:
        days: the longest date range, in days.
        rows: the most rows a reader may request, by the estimate.
    """

    days: int | None = Field(default=None, ge=1, strict=True)
    rows: int | None = Field(default=None, ge=1, strict=True)

"""Whom a report's readers contact, and how much they may request."""

from __future__ import annotations

from pydantic import Field

from quire.definition.part import Part
from quire.definition.scalars import Address, Label


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

    Args:
        days: the longest date range, in days.
        rows: the most rows a reader may request, by the estimate.
    """

    days: int | None = Field(default=None, ge=1, strict=True)
    rows: int | None = Field(default=None, ge=1, strict=True)

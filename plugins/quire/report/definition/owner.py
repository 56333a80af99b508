"""Whom a report's readers contact."""

from __future__ import annotations

from quire.report.definition.field_types import Address, Label
from quire.report.definition.strict_model import StrictModel


class Owner(StrictModel):
    """The person or team that answers questions about the report.

    Args:
        name: as readers see it.
        email: the address readers write to.
    """

    name: Label
    email: Address | None = None

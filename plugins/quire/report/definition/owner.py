"""The contact for a report's readers."""

from __future__ import annotations

from quire.report.definition.field_types import Address, Label
from quire.report.definition.strict_model import StrictModel


class Owner(StrictModel):
    """The person or team that answers questions about the report."""

    name: Label
    email: Address | None = None

"""Link and run lifetimes, and notification recipients."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Discriminator, Tag, model_validator

from quire.report.definition.field_types import Address, ClassPath, Duration
from quire.report.definition.strict_model import StrictModel, field_error, value_kind
from quire.settings import MAX_LINK_LIFETIME


class Notifier(StrictModel):
    """An Airflow notifier class and its arguments, which ``quire.airflow_dag`` checks."""

    model_config = ConfigDict(frozen=True, extra="allow")

    notifier: ClassPath

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments for the class."""
        return dict(self.__pydantic_extra__ or {})


Recipient = Annotated[
    Annotated[Address, Tag("<word>")] | Annotated[Notifier, Tag("<mapping>")], Discriminator(value_kind)
]


class Notify(StrictModel):
    """Notification recipients: e-mail addresses, and Airflow notifiers for other channels."""

    success: tuple[Recipient, ...] = ()
    failure: tuple[Recipient, ...] = ()

    @property
    def recipients(self) -> tuple[str | Notifier, ...]:
        """All recipients of success and failure notifications."""
        return (*self.success, *self.failure)


class Delivery(StrictModel):
    """Link and run lifetimes, and notification recipients. Without ``keep``, no published runs are deleted."""

    link_ttl: Duration = timedelta(hours=1)
    keep: Duration | None = None
    notify: Notify = Notify()

    @model_validator(mode="after")
    def _check_link(self) -> Self:
        if self.link_ttl > MAX_LINK_LIFETIME:
            raise field_error("must be at most 7d, S3's limit for presigned URLs", "link_ttl")
        return self

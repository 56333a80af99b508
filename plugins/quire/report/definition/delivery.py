"""How long links and runs live, and whom a run's end is reported to."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Discriminator, Tag, model_validator

from quire.report.definition.field_types import Address, ClassPath, Duration
from quire.report.definition.strict_model import StrictModel, field_error, value_kind

MAX_LINK_LIFETIME = timedelta(days=7)  # S3's own limit for a presigned address


class Notifier(StrictModel):
    """Any of Airflow's notifiers, by its class, with the arguments that are its own: Airflow's side checks them."""

    model_config = ConfigDict(frozen=True, extra="allow")

    notifier: ClassPath

    @property
    def arguments(self) -> dict[str, Any]:
        """What the class is called with."""
        return dict(self.__pydantic_extra__ or {})


Recipient = Annotated[
    Annotated[Address, Tag("<word>")] | Annotated[Notifier, Tag("<mapping>")], Discriminator(value_kind)
]


class Notify(StrictModel):
    """Who is told of a run's end: e-mail addresses, and notifiers for whatever else."""

    success: tuple[Recipient, ...] = ()
    failure: tuple[Recipient, ...] = ()


class Delivery(StrictModel):
    """How long links and runs live, and who is told. Without ``keep``, a run is kept for ever."""

    link_ttl: Duration = timedelta(hours=1)
    keep: Duration | None = None
    notify: Notify = Notify()

    @model_validator(mode="after")
    def _check_link(self) -> Self:
        if self.link_ttl > MAX_LINK_LIFETIME:
            raise field_error("a presigned link lives at most 7d", "link_ttl")
        return self

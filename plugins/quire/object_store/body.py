"""Reads the body of an answer, and asks again where the body breaks off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quire.errors import StoreUnavailableError
from quire.object_store.translation import translated

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

READ_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """An object's bytes, and the ETag that the store gave with them."""

    data: bytes
    etag: str


def read_body(ask: Callable[[], GetObjectOutputTypeDef], key: str) -> Body:
    """Returns the body of an answer, up to ``READ_ATTEMPTS`` times asked for.

    boto3 repeats a request until the headers of an answer arrive, and never after that. A request that fails before
    them has had all its attempts, so it is not repeated here.

    Args:
        ask: sends the request.
        key: of the object, for errors.

    Raises:
        StoreUnavailableError: the request failed, or every body broke off.
    """
    for attempt in range(1, READ_ATTEMPTS + 1):
        with translated(key):
            answer = ask()
        try:
            with translated(key):
                return Body(data=answer["Body"].read(), etag=answer.get("ETag", ""))
        except StoreUnavailableError:
            if attempt == READ_ATTEMPTS:
                raise
    raise AssertionError  # the last attempt returns or raises

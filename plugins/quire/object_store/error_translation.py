"""botocore's errors as Quire's, in one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
)
from botocore.exceptions import ConnectionError as NoConnectionError

from quire.errors import DamagedObjectError, ReportError, StoreRefusedError, StoreUnavailableError

_BUSY = {
    "SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "OperationAborted",
    "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests",
    "ExpiredToken",  # of a role: boto3 asks for another at the next attempt
    "RequestTimeTooSkewed", "BadDigest", "IncompleteBody",  # what a clock or a connection did to one request
}  # fmt: skip
_BUSY_STATUS = (408, 429)


class NoSuchKeyError(DamagedObjectError):
    """The object does not exist."""


class NoSuchUploadError(StoreUnavailableError):
    """A multipart upload was ended by somebody else, or is complete already."""


class ExistsError(StoreRefusedError):
    """A conditional write met an object that exists (HTTP 412)."""


class ConflictError(StoreUnavailableError):
    """A conditional write met another one under way (HTTP 409)."""


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turns botocore's errors into Quire's; ``what`` names the object or bucket concerned."""
    try:
        yield
    except ClientError as error:
        raise _of_answer(error, what) from error
    except (
        HTTPClientError,
        IncompleteReadError,
        NoConnectionError,
    ) as error:  # nobody there, timed out, connection lost
        raise StoreUnavailableError(f"the object store does not answer for {what}: {error}") from error
    except (CredentialRetrievalError, MetadataRetrievalError) as error:  # whoever gives a role its keys is busy
        raise StoreUnavailableError(f"there are no credentials for {what} just now: {error}") from error
    except (BotoCoreError, ValueError) as error:
        raise StoreRefusedError(f"the object store cannot be used for {what}: {error}") from error


def _of_answer(error: ClientError, what: str) -> ReportError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if status == 412:
        return ExistsError(f"{what} exists already")
    if status == 409 and code in ("ConditionalRequestConflict", "OperationAborted"):
        return ConflictError(f"{what} is being written by another")
    if code in _BUSY or status in _BUSY_STATUS or status >= 500:
        return StoreUnavailableError(f"the object store failed for {what}: {code or status}")
    if code == "NoSuchUpload":
        return NoSuchUploadError(f"the upload of {what} was ended by somebody else: try again")
    if code == "NoSuchBucket" or (status == 404 and what.startswith("bucket ")):
        return StoreRefusedError(f"{what}: there is no such bucket: create it, or set QUIRE_BUCKET to one that exists")
    if code in ("NoSuchKey", "404"):
        return NoSuchKeyError(f"{what} is not in the store: it was deleted, or never written")
    return StoreRefusedError(f"the object store refuses {what}: {code or status}; check its key and rights")

"""Translates botocore errors into Quire errors."""

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

from quire.errors import ReportError, StoreRefusedError, StoreUnavailableError
from quire.object_store.store import NoSuchKeyError

_BUSY = {
    "SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "OperationAborted",
    "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests",
    "ExpiredToken",  # boto3 refreshes a role's token before the next attempt
    "RequestTimeTooSkewed", "BadDigest", "IncompleteBody",  # wrong clock, or request damaged in transit
}  # fmt: skip
_BUSY_STATUS = (408, 429)
_REFUSED = {
    "AccessDenied", "AuthorizationHeaderMalformed", "EntityTooLarge", "InvalidArgument", "InvalidBucketName",
    "InvalidRequest", "InvalidToken", "MethodNotAllowed", "PermanentRedirect",
}  # fmt: skip
_REFUSED_STATUS = (301, 401, 403)


class NoSuchUploadError(StoreUnavailableError):
    """Another process has aborted or completed the multipart upload."""


class ExistsError(StoreRefusedError):
    """A conditional write failed because the object exists (HTTP 412)."""


class ConflictError(StoreUnavailableError):
    """A conditional write collided with a concurrent write (HTTP 409)."""


class UnknownResponseError(StoreUnavailableError):
    """The store responded with an unknown error code. The response may have been damaged in transit."""


@contextmanager
def translate_s3_errors(what: str) -> Iterator[None]:
    """Translates botocore errors that the block raises; ``what`` names the object or bucket in messages."""
    try:
        yield
    except ClientError as error:
        raise _translate_response(error, what) from error
    except (
        HTTPClientError,
        IncompleteReadError,
        NoConnectionError,
    ) as error:  # connection refused, timed out or lost
        raise StoreUnavailableError(f"the object store did not respond to the request for {what}: {error}") from error
    except (CredentialRetrievalError, MetadataRetrievalError) as error:  # a role's credential provider is busy
        raise StoreUnavailableError(f"no credentials are available for {what}: {error}") from error
    except (BotoCoreError, ValueError) as error:
        raise StoreRefusedError(f"the request for {what} could not be sent to the object store: {error}") from error


def _translate_response(error: ClientError, what: str) -> ReportError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if status == 412:
        return ExistsError(f"{what} exists already")
    if status == 409 and code in ("ConditionalRequestConflict", "OperationAborted"):
        return ConflictError(f"{what} is being written by another process")
    if code in _BUSY or status in _BUSY_STATUS or status >= 500:
        return StoreUnavailableError(f"the object store could not process the request for {what}: {code or status}")
    if code == "NoSuchUpload":
        return NoSuchUploadError(f"the upload of {what} was aborted by another process: try again")
    if code == "NoSuchBucket" or (status == 404 and what.startswith("bucket ")):
        return StoreRefusedError(
            f"{what}: the bucket does not exist: create it, or set QUIRE_BUCKET to an existing bucket"
        )
    if code in ("NoSuchKey", "404"):
        return NoSuchKeyError.of(what)
    if code in _REFUSED or status in _REFUSED_STATUS:
        return StoreRefusedError(
            f"the object store denies access to {what}: {code or status}; check its credentials and permissions"
        )
    return UnknownResponseError(
        f"the object store responded to the request for {what} with an unexpected error: {code or status}"
    )

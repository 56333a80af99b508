"""Adds a checksum to every uploaded body. Retries uploads that were damaged in transit.

The request signature covers the SHA-256 of the body, but not every store verifies that digest: SeaweedFS 4.48 stores
whatever arrives. Stores do verify Content-MD5, which S3 has supported since its launch. Over HTTPS, TLS already detects
damaged bytes.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MAX_ATTEMPTS = 4
OPERATIONS = ("PutObject", "UploadPart")
_DAMAGED = ("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch")


def add_checksums(client: S3Client) -> None:
    """Configures a client to send a checksum with every body, and to retry uploads if the store reports a mismatch."""
    for operation in OPERATIONS:
        client.meta.events.register(f"before-parameter-build.s3.{operation}", _add_md5)
        client.meta.events.register(f"needs-retry.s3.{operation}", _seconds_until_retry)  # type: ignore[arg-type]


def _add_md5(params: dict[str, Any], **_: object) -> None:
    digest = hashlib.md5(params["Body"], usedforsecurity=False).digest()
    params["ContentMD5"] = base64.b64encode(digest).decode()


def _seconds_until_retry(response: tuple[Any, dict[str, Any]] | None, attempts: int, **_: object) -> float | None:
    """Returns 0 if the store reports a damaged body, or None to let botocore decide whether to retry."""
    code = response[1].get("Error", {}).get("Code") if response else None
    return 0.0 if code in _DAMAGED and attempts < MAX_ATTEMPTS else None

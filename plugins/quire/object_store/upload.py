"""A large object on its way into the store: written once, in order, uploaded in parts while it is written."""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from quire.errors import ReportError
from quire.object_store.body import read_headers
from quire.object_store.checksums import BlockChecksums
from quire.object_store.error_translation import NoSuchKeyError, NoSuchUploadError, translated

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

logger = logging.getLogger(__name__)

PART_BYTES = 8 * 1024 * 1024
PARTS_IN_FLIGHT = 2


class Upload:
    """A file-like object. Leaving its context by an exception aborts the upload: nothing is left in the bucket.

    What fits into one part is put at once. At most ``PARTS_IN_FLIGHT`` parts of ``PART_BYTES`` are held besides the
    one being filled.

    Attributes:
        bytes: written so far.
    """

    def __init__(self, client: S3Client, bucket: str, key: str, *, content_type: str) -> None:
        self._client, self._bucket, self._key, self._content_type = client, bucket, key, content_type
        self._buffer = bytearray()
        self._digest = hashlib.sha256()
        self._checksums = BlockChecksums()
        self._upload_id: str | None = None
        self._parts: list[CompletedPartTypeDef] = []
        self._waiting: deque[Future[CompletedPartTypeDef]] = deque()
        self._threads = ThreadPoolExecutor(PARTS_IN_FLIGHT, thread_name_prefix="upload")
        self.bytes = 0
        self.closed = False

    @property
    def sha256(self) -> str:
        """Hex digits of all bytes written."""
        return self._digest.hexdigest()

    @property
    def checksums(self) -> str:
        """The CRC-32 of each block of the bytes written, for readers of ranges."""
        return self._checksums.hexdigest()

    def __enter__(self) -> Self:
        return self

    def write(self, data: bytes | memoryview) -> int:
        """Takes the next bytes; waits while too many parts are under way."""
        self._digest.update(data)
        self._checksums.update(data)
        self._buffer += data
        size = len(data)
        self.bytes += size
        while len(self._buffer) >= PART_BYTES:
            with memoryview(self._buffer) as written:
                part = bytes(written[:PART_BYTES])
            self._send(part)
            del self._buffer[:PART_BYTES]
        return size

    def flush(self) -> None:
        """Does nothing: parts have a size of their own. PyArrow asks for it."""

    def readable(self) -> bool:
        """Says that it does not read."""
        return False

    def writable(self) -> bool:
        """Says that it writes."""
        return True

    def seekable(self) -> bool:
        """Says that it does not seek."""
        return False

    def close(self) -> None:
        """Does nothing: only the context knows whether the object is whole."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._complete()
            else:
                self._abort()
        except BaseException:
            if error is None:
                self._abort()
            raise
        finally:
            self.closed = True
            self._threads.shutdown(wait=True)

    def _send(self, part: bytes) -> None:
        if self._upload_id is None:
            with translated(self._key):
                self._upload_id = self._client.create_multipart_upload(
                    Bucket=self._bucket, Key=self._key, ContentType=self._content_type
                )["UploadId"]
        while len(self._waiting) >= PARTS_IN_FLIGHT:
            self._parts.append(self._waiting.popleft().result())
        number = len(self._parts) + len(self._waiting) + 1
        self._waiting.append(self._threads.submit(self._send_part, self._upload_id, number, part))

    def _send_part(self, upload_id: str, number: int, part: bytes) -> CompletedPartTypeDef:
        with translated(self._key):
            answer = self._client.upload_part(
                Bucket=self._bucket, Key=self._key, UploadId=upload_id, PartNumber=number, Body=part
            )
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def _complete(self) -> None:
        if self._upload_id is None:
            with translated(self._key):
                self._client.put_object(
                    Bucket=self._bucket, Key=self._key, Body=bytes(self._buffer), ContentType=self._content_type
                )
            return
        if self._buffer:
            self._send(bytes(self._buffer))
        self._parts.extend(waiting.result() for waiting in self._waiting)
        self._waiting.clear()
        try:
            with translated(self._key):
                self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=self._key,
                    UploadId=self._upload_id,
                    MultipartUpload={"Parts": self._parts},
                )
        except NoSuchUploadError:  # or boto3 had asked before, and the answer was lost
            if not self._is_whole():
                raise

    def _is_whole(self) -> bool:
        ask = partial(self._client.head_object, Bucket=self._bucket, Key=self._key)
        try:
            return read_headers(ask, self._key)["ContentLength"] == self.bytes
        except NoSuchKeyError:
            return False

    def _abort(self) -> None:
        for waiting in self._waiting:
            waiting.cancel()
        self._threads.shutdown(wait=True)
        if self._upload_id is None:
            return
        try:
            with translated(self._key):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._upload_id)
        except ReportError as error:  # the first error matters more; `quire gc` finds what is left
            logger.warning("upload of %s could not be aborted: %s", self._key, error)

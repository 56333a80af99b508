"""A multipart upload to S3."""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from quire.errors import ReportError
from quire.object_store.s3_errors import NoSuchUploadError, translate_s3_errors
from quire.object_store.s3_responses import read_headers
from quire.object_store.store import NoSuchKeyError
from quire.object_store.upload import Upload

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

logger = logging.getLogger(__name__)

PART_BYTES = 8 * 1024 * 1024
PARTS_IN_FLIGHT = 2


class S3Upload(Upload):
    """Uploads an object in parts while it is being written; uses a single request if the object is smaller than a part.

    Holds at most ``PARTS_IN_FLIGHT`` parts of ``PART_BYTES`` each in memory, plus the part that is being filled.
    """

    def __init__(self, client: S3Client, bucket: str, key: str, *, content_type: str) -> None:
        super().__init__()
        self._client, self._bucket, self._key, self._content_type = client, bucket, key, content_type
        self._buffer = bytearray()
        self._upload_id: str | None = None
        self._parts: list[CompletedPartTypeDef] = []
        self._in_flight: deque[Future[CompletedPartTypeDef]] = deque()
        self._threads = ThreadPoolExecutor(PARTS_IN_FLIGHT, thread_name_prefix="upload")

    def _append(self, data: bytes | memoryview) -> None:
        self._buffer += data
        while len(self._buffer) >= PART_BYTES:
            with memoryview(self._buffer) as view:
                part = bytes(view[:PART_BYTES])
            self._send(part)
            del self._buffer[:PART_BYTES]

    def _release(self) -> None:
        self._threads.shutdown(wait=True)

    def _send(self, part: bytes) -> None:
        if self._upload_id is None:
            with translate_s3_errors(self._key):
                self._upload_id = self._client.create_multipart_upload(
                    Bucket=self._bucket, Key=self._key, ContentType=self._content_type
                )["UploadId"]
        while len(self._in_flight) >= PARTS_IN_FLIGHT:
            self._parts.append(self._in_flight.popleft().result())
        number = len(self._parts) + len(self._in_flight) + 1
        self._in_flight.append(self._threads.submit(self._send_part, self._upload_id, number, part))

    def _send_part(self, upload_id: str, number: int, part: bytes) -> CompletedPartTypeDef:
        with translate_s3_errors(self._key):
            response = self._client.upload_part(
                Bucket=self._bucket, Key=self._key, UploadId=upload_id, PartNumber=number, Body=part
            )
        return {"PartNumber": number, "ETag": response["ETag"]}

    def _complete(self) -> None:
        if self._upload_id is None:
            with translate_s3_errors(self._key):
                self._client.put_object(
                    Bucket=self._bucket, Key=self._key, Body=bytes(self._buffer), ContentType=self._content_type
                )
            return
        if self._buffer:
            self._send(bytes(self._buffer))
        self._parts.extend(part.result() for part in self._in_flight)
        self._in_flight.clear()
        try:
            with translate_s3_errors(self._key):
                self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=self._key,
                    UploadId=self._upload_id,
                    MultipartUpload={"Parts": self._parts},
                )
        except NoSuchUploadError:  # boto3 may have retried a successful attempt whose response was lost
            if not self._is_complete():
                raise

    def _is_complete(self) -> bool:
        request = partial(self._client.head_object, Bucket=self._bucket, Key=self._key)
        try:
            return read_headers(request, self._key)["ContentLength"] == self.bytes
        except NoSuchKeyError:
            return False

    def _abort(self) -> None:
        for part in self._in_flight:
            part.cancel()
        self._threads.shutdown(wait=True)
        if self._upload_id is None:
            return
        try:
            with translate_s3_errors(self._key):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._upload_id)
        except ReportError as error:  # the original error is raised; `quire gc` aborts the upload
            logger.warning("upload of %s could not be aborted: %s", self._key, error)

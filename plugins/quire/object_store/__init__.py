"""Object stores that support atomic writes, write-once records, range reads and links.

``Store`` is the interface; ``s3_store`` (any S3 API with multipart uploads, range reads and conditional writes),
``folder_store`` and ``memory_store`` implement it.
"""

from quire.object_store.store import CONTENT_TYPES, Store, StoredObject, attachment
from quire.object_store.upload import Upload

__all__ = ["CONTENT_TYPES", "Store", "StoredObject", "Upload", "attachment"]

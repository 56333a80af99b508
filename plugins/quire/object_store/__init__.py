"""S3: objects that count only when they are whole, range reads, presigned links.

Any S3 API will do that has multipart uploads, range reads and conditional writes (``If-None-Match: *``).
"""

from quire.object_store.store import CONTENT_TYPES, ObjectStore, StoredObject, attachment
from quire.object_store.upload import Upload

__all__ = ["CONTENT_TYPES", "ObjectStore", "StoredObject", "Upload", "attachment"]

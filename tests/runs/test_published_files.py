"""A file counts as missing only if the store says so twice, because a truncated response can state a wrong size."""

from __future__ import annotations

from datetime import date

import pytest
from quire.object_store.memory_store import MemoryStore
from quire.record_types.stage_records import RenderedFile
from quire.runs.published_files import is_any_missing, missing_objects

KEY, BODY = "reports/events/1/a/events.xlsx", b"rows"
DAY = date(2013, 1, 1)
FILE = RenderedFile(name="events.xlsx", key=KEY, rows=1, bytes=len(BODY), sha256="", start=DAY, end=DAY)


class Truncating(MemoryStore):
    """Returns a wrong size for the first ``wrong`` requests."""

    def __init__(self, wrong: int) -> None:
        super().__init__()
        self._wrong = wrong
        self.put(KEY, BODY)

    def size(self, key: str) -> int | None:
        """Returns the size without its last digit at first."""
        self._wrong -= 1
        return 0 if self._wrong >= 0 else super().size(key)


@pytest.mark.parametrize(("wrong", "missing"), [(0, []), (1, []), (2, [KEY])])
def test_file_is_missing_only_if_two_responses_say_so(wrong: int, missing: list[str]) -> None:
    assert missing_objects([(KEY, len(BODY))], store=Truncating(wrong)) == missing
    assert is_any_missing([FILE], Truncating(wrong)) is bool(missing)

"""Parts by XlsxWriter, mended where they hold letters that XML forbids.

XlsxWriter 3.3.1 escapes those in cells, but not in the attributes of a table or the texts of a chart, and a package
with one ill-formed part does not open.
"""

from __future__ import annotations

import re

_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]")
# The title of a table's column, which must be that of its header cell. An attribute keeps no tab and no CR.
_TITLE = re.compile(rb'(?<=<tableColumn )(id="\d+" name=")([^"]*)')
_ESCAPED = re.compile(rb"[\x00-\x09\x0b-\x1f]|\xef\xbf[\xbe\xbf]|_(?=x[0-9A-Fa-f]{4}_)")


def escape_illegal_characters(name: str, body: bytes) -> bytes:
    """Returns a part of a package with Excel's own escapes where XlsxWriter has none.

    Args:
        name: of the part.
        body: its XML.
    """
    if name.startswith("xl/tables/"):
        body = _TITLE.sub(lambda found: found[1] + _ESCAPED.sub(_escape, found[2]), body)
    return _FORBIDDEN.sub(_escape, body)


def _escape(found: re.Match[bytes]) -> bytes:
    return b"_x%04X_" % ord(found[0].decode())

"""Escapes characters that XML forbids, in the package parts that XlsxWriter writes.

XlsxWriter 3.3.1 escapes such characters in cells, but not in a table's attributes or a chart's text. Excel cannot open
a package that contains malformed XML.
"""

from __future__ import annotations

import re

_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]")
# A table column's title must equal its header cell, but XML attributes do not preserve tabs and CR.
_TITLE = re.compile(rb'(?<=<tableColumn )(id="\d+" name=")([^"]*)')
_ESCAPED = re.compile(rb"[\x00-\x09\x0b-\x1f]|\xef\xbf[\xbe\xbf]|_(?=x[0-9A-Fa-f]{4}_)")


def escape_illegal_characters(name: str, body: bytes) -> bytes:
    """Returns a part in which Excel's escapes replace the characters that XML forbids.

    Args:
        name: the part's name.
        body: the part's XML.
    """
    if name.startswith("xl/tables/"):
        body = _TITLE.sub(lambda match: match[1] + _ESCAPED.sub(_escape, match[2]), body)
    return _FORBIDDEN.sub(_escape, body)


def _escape(match: re.Match[bytes]) -> bytes:
    return b"_x%04X_" % ord(match[0].decode())

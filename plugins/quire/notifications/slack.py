"""Escapes text for Slack, so that user input in it is never interpreted as markup, a mention or a link.

Slack has entities for &, < and > only. Other markup cannot be escaped. Its characters are replaced with lookalikes or
separated by an invisible character (https://docs.slack.dev/messaging/formatting-message-text).
"""

from __future__ import annotations

import re

_BREAK = "\u200b"  # a zero-width space
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_LOOK_ALIKES = {"*": "\u2217", "_": "\u02cd", "~": "\u223c", "`": "\u02cb"}
# Within a word, as in flights_2013.xlsx, Slack interprets only backticks.
_MARKUP = re.compile(r"(?<![0-9A-Za-z])[*_~]|[*_~](?![0-9A-Za-z])|`")
# The characters after which Slack recognizes a URL with a scheme, a bare host name (example.org, but not the suffixes
# of our files), a user or channel, and an emoji.
_LINK = re.compile(
    r":(?=//)|(?<=\S)\.(?=[^\W\d_])(?!(?:xlsx|csv|parquet)\b)|[@#](?=\w)|:(?=[0-9]*+[a-z_+'-][a-z0-9_+'-]*+:)",
    re.IGNORECASE,
)
_OWN_LINK = re.compile(r"  https?://\S++")  # as ``render_text`` writes it; values contain no line breaks


def escape_slack(text: str) -> str:
    """Returns the text of a notification without markup, mentions or links, except for Quire's own links."""
    return "\n".join(
        line.translate(_ENTITIES) if _OWN_LINK.fullmatch(line) else _escape_line(line) for line in text.split("\n")
    )


def _escape_line(line: str) -> str:
    plain = _MARKUP.sub(lambda mark: _LOOK_ALIKES[mark[0]], line)
    return _LINK.sub(rf"\g<0>{_BREAK}", plain).translate(_ENTITIES)

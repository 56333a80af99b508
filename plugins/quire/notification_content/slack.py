"""Escapes text for Slack, which might otherwise interpret user input as markup, mentions or links.

Slack has entities only for &, < and >. Other markup characters cannot be escaped, so they are replaced with lookalikes
or followed by an invisible character (https://docs.slack.dev/messaging/formatting-message-text).
"""

from __future__ import annotations

import re

_BREAK = "\u200b"  # a zero-width space
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_LOOK_ALIKES = {"*": "\u2217", "_": "\u02cd", "~": "\u223c", "`": "\u02cb"}
# Within a word such as flights_2013.xlsx, Slack interprets only backticks.
_MARKUP = re.compile(r"(?<![0-9A-Za-z])[*_~]|[*_~](?![0-9A-Za-z])|`")
# The characters by which Slack recognizes a URL with a scheme, a bare host name (such as example.org, but not our file
# suffixes), a user or channel, and an emoji.
_LINK = re.compile(
    r":(?=//)|(?<=\S)\.(?=[^\W\d_])(?!(?:xlsx|csv|parquet)\b)|[@#](?=\w)|:(?=[0-9]*+[a-z_+'-][a-z0-9_+'-]*+:)",
    re.IGNORECASE,
)
_OWN_LINK = re.compile(r"  https?://\S++")  # written by ``render_text``; values contain no line breaks


def escape_slack(text: str) -> str:
    """Escapes a notification's text, except for Quire's own links."""
    return "\n".join(
        line.translate(_ENTITIES) if _OWN_LINK.fullmatch(line) else _escape_line(line) for line in text.split("\n")
    )


def _escape_line(line: str) -> str:
    plain = _MARKUP.sub(lambda mark: _LOOK_ALIKES[mark[0]], line)
    return _LINK.sub(rf"\g<0>{_BREAK}", plain).translate(_ENTITIES)

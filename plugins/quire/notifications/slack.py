"""A notice's text for Slack: what somebody typed into it stays text.

Slack has entities for &, < and > only. Its other markup cannot be escaped, so it is replaced by characters that look
the same, or broken by one that nobody sees (https://docs.slack.dev/messaging/formatting-message-text).
"""

from __future__ import annotations

import re

_BREAK = "\u200b"  # a zero-width space
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_LOOK_ALIKES = {"*": "\u2217", "_": "\u02cd", "~": "\u223c", "`": "\u02cb"}
# Within a word, as in flights_2013.xlsx, Slack takes them as they are; all but the last.
_MARKUP = re.compile(r"(?<![0-9A-Za-z])[*_~]|[*_~](?![0-9A-Za-z])|`")
# After these Slack goes on to an address with its scheme, a bare one (example.org, but not the suffixes of our files),
# somebody's name or a channel's, and an emoji's name.
_LINK = re.compile(
    r":(?=//)|(?<=\S)\.(?=[^\W\d_])(?!(?:xlsx|csv|parquet)\b)|[@#](?=\w)|:(?=[0-9]*+[a-z_+'-][a-z0-9_+'-]*+:)",
    re.IGNORECASE,
)
_OWN_LINK = re.compile(r"  https?://\S++")  # a line of its own, as ``render_text`` writes it; no value has a line break


def escape_slack(text: str) -> str:
    """Returns a notice's text, or one line of it, without markup, mentions or links but for Quire's own links."""
    return "\n".join(
        line.translate(_ENTITIES) if _OWN_LINK.fullmatch(line) else _escape_line(line) for line in text.split("\n")
    )


def _escape_line(line: str) -> str:
    plain = _MARKUP.sub(lambda mark: _LOOK_ALIKES[mark[0]], line)
    return _LINK.sub(rf"\g<0>{_BREAK}", plain).translate(_ENTITIES)

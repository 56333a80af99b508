"""What those who asked to be told are told when a run ends, whoever carries it.

content   a published or failed run -> Notice: title, facts, stable links, what to mind
text      Notice -> plain text
slack     plain text -> the same without Slack's markup
html      Notice -> the body of an e-mail
"""

from quire.notifications.content import FailedTask, Notice, NoticeLink, ToldFile, ToldRun, tell_failure, tell_success
from quire.notifications.html import as_html
from quire.notifications.plain_text import as_text
from quire.notifications.slack import escape_slack

__all__ = [
    "FailedTask",
    "Notice",
    "NoticeLink",
    "ToldFile",
    "ToldRun",
    "as_html",
    "as_text",
    "escape_slack",
    "tell_failure",
    "tell_success",
]

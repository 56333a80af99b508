"""What those who asked to be told are told when a run ends, whoever carries it.

content   a published or failed run -> Notification: title, facts, stable links, what to mind
text      Notification -> plain text
slack     plain text -> the same without Slack's markup
html      Notification -> the body of an e-mail
"""

from quire.notifications.content import (
    FailedTask,
    Notification,
    NotificationLink,
    RunFile,
    RunResult,
    failure_notification,
    success_notification,
)
from quire.notifications.html import render_html
from quire.notifications.plain_text import render_text
from quire.notifications.slack import escape_slack

__all__ = [
    "FailedTask",
    "Notification",
    "NotificationLink",
    "RunFile",
    "RunResult",
    "escape_slack",
    "failure_notification",
    "render_html",
    "render_text",
    "success_notification",
]

"""Builds end-of-run notifications, independent of transport.

content      a published or failed run -> Notification: heading, facts, permanent links, warnings
plain_text   Notification -> plain text
slack        plain text -> plain text without Slack's markup
html         Notification -> HTML e-mail body
"""

from quire.notification_content.content import (
    FailedTask,
    Notification,
    NotificationLink,
    failure_notification,
    success_notification,
)
from quire.notification_content.html import render_html
from quire.notification_content.plain_text import render_text
from quire.notification_content.slack import escape_slack

__all__ = [
    "FailedTask",
    "Notification",
    "NotificationLink",
    "escape_slack",
    "failure_notification",
    "render_html",
    "render_text",
    "success_notification",
]

"""Renders a notification as plain text, for Slack, pagers and logs."""

from __future__ import annotations

from collections.abc import Iterator

from quire.notification_content.content import Notification, NotificationLink


def render_text(notification: Notification) -> str:
    """Returns a notification as text. Each URL has its own line, so that programs recognize where the URL ends."""
    blocks = [
        [f"{notification.heading}."],
        [f"{label}: {value}" for label, value in notification.facts],
        [f"Note: {warning}" for warning in notification.warnings],
        [*_links(notification.files), *([notification.more] if notification.more else [])],
        list(_links(page for page in notification.pages if page.url)),
    ]
    return "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"


def _links(links: Iterator[NotificationLink] | tuple[NotificationLink, ...]) -> Iterator[str]:
    for link in links:
        detail = f" ({link.detail})" if link.detail else ""
        yield f"{link.label}{detail}{':' if link.url else ''}"
        if link.url:
            yield f"  {link.url}"

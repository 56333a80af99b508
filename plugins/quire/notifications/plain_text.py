"""A notice as plain text: what Slack, a pager or a log takes."""

from __future__ import annotations

from collections.abc import Iterator

from quire.notifications.content import Notification, NotificationLink


def render_text(notice: Notification) -> str:
    """Returns the notice in short lines; each address stands alone on its line, so that any program finds its end."""
    blocks = [
        [f"{notice.heading}."],
        [f"{label}: {value}" for label, value in notice.facts],
        [f"Note: {warning}" for warning in notice.warnings],
        [*_links(notice.files), *([notice.more] if notice.more else [])],
        list(_links(page for page in notice.pages if page.address)),
    ]
    return "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"


def _links(links: Iterator[NotificationLink] | tuple[NotificationLink, ...]) -> Iterator[str]:
    for link in links:
        detail = f" ({link.detail})" if link.detail else ""
        yield f"{link.label}{detail}{':' if link.address else ''}"
        if link.address:
            yield f"  {link.address}"

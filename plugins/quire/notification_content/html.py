"""Renders a notification as an HTML e-mail body.

Mail clients support little more than tables and inline styles, and do not load style sheets, images or fonts. Text and
background colors are always set together, so that a mail client in dark mode changes both.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from quire.notification_content.content import Notification, NotificationLink

FONT = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
INK, FAINT, LINE, GROUND, PAPER = "#1f2933", "#5f6c7b", "#e4e7eb", "#f5f7fa", "#ffffff"
GOOD, BAD, LINK = "#1d7a46", "#b3261e", "#0b5cad"
MAX_NO_WRAP_LENGTH = 20  # longer labels may wrap on a phone
WARNING_GROUND, WARNING_LINE = "#fff8e1", "#e0a800"


def render_html(notification: Notification) -> str:
    """Returns a complete HTML document in which all text is escaped."""
    color = BAD if notification.failed else GOOD
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(notification.subject)}</title></head>"
        f'<body style="margin:0;padding:0;background:{GROUND};color:{INK};{FONT}">'
        f'<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="background:{GROUND}">'
        '<tr><td align="center" style="padding:24px 12px">'
        f'<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="max-width:600px;'
        f'background:{PAPER};color:{INK};border:1px solid {LINE};border-top:4px solid {color};border-radius:6px">'
        f'<tr><td style="padding:24px 28px;{FONT};font-size:15px;line-height:1.5;text-align:left">'
        f'<h1 style="margin:0 0 16px;font-size:20px;line-height:1.3;color:{INK}">{escape(notification.heading)}</h1>'
        f"{_facts(notification)}{''.join(map(_warning, notification.warnings))}"
        f"{_files(notification)}{_pages(notification)}"
        "</td></tr></table></td></tr></table></body></html>"
    )


def _facts(notification: Notification) -> str:
    rows = "".join(
        f'<tr valign="top"><td style="padding:3px 16px 3px 0;color:{FAINT}{_no_wrap(label)}">{escape(label)}</td>'
        f'<td style="padding:3px 0;word-break:break-word">{escape(value)}</td></tr>'
        for label, value in notification.facts
    )
    return f'<table role="presentation" cellpadding="0" cellspacing="0" style="{FONT};font-size:15px">{rows}</table>'


def _no_wrap(label: str) -> str:
    return ";white-space:nowrap" if len(label) <= MAX_NO_WRAP_LENGTH else ""


def _warning(text: str) -> str:
    return (
        f'<p style="margin:14px 0 0;padding:8px 12px;background:{WARNING_GROUND};color:{INK};'
        f'border-left:3px solid {WARNING_LINE};font-size:14px">{escape(text)}</p>'
    )


def _files(notification: Notification) -> str:
    if not notification.files:
        return ""
    more = (
        f'<tr><td colspan="2" style="padding:9px 0;color:{FAINT}">{escape(notification.more)}</td></tr>'
        if notification.more
        else ""
    )
    return (
        '<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="margin-top:20px;'
        f'{FONT};font-size:15px;border-top:1px solid {LINE}">{"".join(_file_rows(notification))}{more}</table>'
    )


def _file_rows(notification: Notification) -> Iterator[str]:
    border = f"border-bottom:1px solid {LINE}"
    for file in notification.files:
        yield (
            f'<tr><td style="padding:9px 16px 9px 0;{border};word-break:break-word">{_anchor(file)}</td>'
            f'<td align="right" style="padding:9px 0;{border};color:{FAINT};font-size:14px">{escape(file.detail)}</td>'
            "</tr>"
        )


def _pages(notification: Notification) -> str:
    links = " &nbsp;·&nbsp; ".join(_anchor(page) for page in notification.pages if page.url)
    return f'<p style="margin:20px 0 0">{links}</p>' if links else ""


def _anchor(link: NotificationLink) -> str:
    if not link.url:
        return escape(link.label)
    return f'<a href="{escape(link.url)}" style="color:{LINK}">{escape(link.label)}</a>'

"""Sends e-mails with HTML and plain text, because Airflow's own notifier sends only HTML."""

from __future__ import annotations

from collections.abc import Sequence
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from functools import cached_property
from typing import Any

from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.providers.smtp.notifications.smtp import SmtpNotifier

MAIL_NOTIFIER = f"{__name__}.MailNotifier"


class MailNotifier(SmtpNotifier):
    """Sends the same content as HTML and as plain text, which every mail program can display.

    Args:
        text_content: the plain text template.
        arguments: the arguments for Airflow's SmtpNotifier.
    """

    template_fields: Sequence[str] = (  # type: ignore[assignment]  # the base class declares a narrower type
        *SmtpNotifier.template_fields,
        "text_content",
    )

    def __init__(self, *, text_content: str, **arguments: Any) -> None:
        super().__init__(mime_subtype="alternative", **arguments)
        self.text_content = text_content

    @cached_property
    def hook(self) -> SmtpHook:
        """The connection to the mail server."""
        return _AlternativeHook(self.text_content, smtp_conn_id=self.smtp_conn_id, auth_type=self.auth_type)


class _AlternativeHook(SmtpHook):
    """Builds messages whose first part is plain text, because mail programs prefer the last alternative."""

    def __init__(self, text: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._text = text

    def _build_mime_message(self, *arguments: Any, **options: Any) -> tuple[MIMEMultipart, list[str]]:
        message, recipients = super()._build_mime_message(*arguments, **options)
        message.set_payload([MIMEText(self._text, "plain", "utf-8"), *message.get_payload()])
        return message, recipients

"""A mail server on loopback that stores messages from authenticated clients."""

from __future__ import annotations

import email
import email.policy
import threading
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from quire.dev_stack.ports import LOOPBACK, free_port

MAIL_LOGIN, MAIL_PASSWORD = "quire", "s3cr3t/mail word"
SENDER = "reports@example.org"
REFUSED = "nobody@example.org"


@dataclass(frozen=True)
class Mail:
    """A message and its envelope."""

    sender: str
    recipients: list[str]
    message: EmailMessage

    @property
    def body(self) -> str:
        """The HTML part."""
        part = self.message.get_body(("html",))
        assert part is not None
        return str(part.get_content())


class Mailbox:
    """The mail server, as a context manager."""

    def __init__(self) -> None:
        self.port = free_port()
        self._mails: list[Mail] = []
        self._lock = threading.Lock()
        self._controller = Controller(
            self,
            hostname=LOOPBACK,
            port=self.port,
            authenticator=_authenticate,
            auth_required=True,
            auth_require_tls=False,
        )

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        """Rejects one address, as if its mailbox did not exist. aiosmtpd requires this method name."""
        if address == REFUSED:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Stores a message. aiosmtpd requires this method name."""
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        with self._lock:
            self._mails.append(Mail(envelope.mail_from, list(envelope.rcpt_tos), message))
        return "250 OK"

    def containing(self, text: str) -> list[Mail]:
        """Returns the messages whose HTML contains a string, such as a run's URL."""
        with self._lock:
            return [mail for mail in self._mails if text in mail.body]


def _authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    is_valid = isinstance(data, LoginPassword) and (data.login, data.password) == (
        MAIL_LOGIN.encode(),
        MAIL_PASSWORD.encode(),
    )
    return AuthResult(success=is_valid)

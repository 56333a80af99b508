"""A mail server on loopback, which keeps what it takes from who knows the password."""

from __future__ import annotations

import email
import email.policy
import threading
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from quire.local_stack.ports import LOOPBACK, free_port

MAIL_LOGIN, MAIL_PASSWORD = "quire", "s3cr3t/mail word"
SENDER = "reports@example.org"
REFUSED = "nobody@example.org"


@dataclass(frozen=True)
class Mail:
    """A message, and whom the server was asked to bring it to."""

    sender: str
    recipients: list[str]
    message: EmailMessage

    @property
    def body(self) -> str:
        """Its HTML."""
        part = self.message.get_body(("html",))
        assert part is not None
        return str(part.get_content())


class Mailbox:
    """The server, while it is entered."""

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
        """Refuses one address, as a server does that knows no such person: aiosmtpd calls it by this name."""
        if address == REFUSED:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Keeps a message: aiosmtpd calls it by this name."""
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        with self._lock:
            self._mails.append(Mail(envelope.mail_from, list(envelope.rcpt_tos), message))
        return "250 OK"

    def of(self, words: str) -> list[Mail]:
        """Returns the mails whose HTML has these words, such as a run's address."""
        with self._lock:
            return [mail for mail in self._mails if words in mail.body]


def _authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (
        MAIL_LOGIN.encode(),
        MAIL_PASSWORD.encode(),
    )
    return AuthResult(success=known)

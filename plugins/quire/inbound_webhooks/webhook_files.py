"""Finds and reads the files in include/webhooks. Rereads a file after it changes."""

from __future__ import annotations

from pathlib import Path

from quire.errors import DefinitionError
from quire.inbound_webhooks.webhook_definition import WEBHOOK_NAME, WebhookDefinition
from quire.report.catalog.definition_file import SUFFIX, definition_files, read_definition
from quire.report.catalog.text_file import FileSignature, file_signature
from quire.report.definition.name_checks import suggestion

FOLDER = "webhooks"


def webhook_names(include: Path) -> tuple[str, ...]:
    """Returns all webhook names, or an empty tuple if the folder does not exist."""
    folder = include.absolute() / FOLDER
    return tuple(path.stem for path in definition_files(folder)) if folder.is_dir() else ()


def find_webhook(include: Path, name: str) -> WebhookDefinition:
    """Reads one webhook.

    Raises:
        DefinitionError: no webhook has this name, or its file is invalid.
    """
    folder = include.absolute() / FOLDER
    paths = {path.stem: path for path in definition_files(folder)} if folder.is_dir() else {}
    if name not in paths:
        likely = suggestion(name, paths) or f". Available: {', '.join(paths) or 'none'}"
        raise DefinitionError(f"no webhook is named {name!r} in {include.name}/{FOLDER}{likely}")
    return read_definition(paths[name], WebhookDefinition).definition


class WebhookFiles:
    """The webhooks in a folder. Each webhook is reread after its file changes."""

    def __init__(self, include: Path) -> None:
        self._folder = include.absolute() / FOLDER
        self._definitions: dict[str, tuple[FileSignature, WebhookDefinition]] = {}

    def find(self, name: str) -> WebhookDefinition | None:
        """Returns a webhook, or None if no webhook has this name.

        Raises:
            DefinitionError: the webhook's file is invalid.
        """
        if not WEBHOOK_NAME.fullmatch(name):
            return None
        path = self._folder / f"{name}{SUFFIX}"
        try:
            signature = file_signature(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        cached = self._definitions.get(name)
        if cached is None or cached[0] != signature:
            cached = self._definitions[name] = (signature, read_definition(path, WebhookDefinition).definition)
        return cached[1]

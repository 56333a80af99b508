"""The files of include/webhooks: found, read, and read again when they change."""

from __future__ import annotations

from pathlib import Path

from quire.errors import DefinitionError
from quire.report.catalog.definition_file import SUFFIX, definition_files, read_definition
from quire.report.definition.name_checks import suggestion
from quire.webhooks.definition import SOURCE_NAME, WebhookDefinition

FOLDER = "webhooks"


def source_names(include: Path) -> tuple[str, ...]:
    """Returns the stems of the files; none where there is no folder."""
    folder = include.absolute() / FOLDER
    return tuple(path.stem for path in definition_files(folder)) if folder.is_dir() else ()


def find_source(include: Path, name: str) -> WebhookDefinition:
    """Reads one source.

    Raises:
        DefinitionError: there is none of that name, or its file is wrong.
    """
    folder = include.absolute() / FOLDER
    paths = {path.stem: path for path in definition_files(folder)} if folder.is_dir() else {}
    if name not in paths:
        likely = suggestion(name, paths) or f"; there are {', '.join(paths) or 'none'}"
        raise DefinitionError(f"no source is called {name!r} in {include.name}/{FOLDER}{likely}")
    return read_definition(paths[name], WebhookDefinition).definition


class Sources:
    """The sources of a folder, each read again when its file changes."""

    def __init__(self, include: Path) -> None:
        self._folder = include.absolute() / FOLDER
        self._read: dict[str, tuple[tuple[int, int], WebhookDefinition]] = {}

    def find(self, name: str) -> WebhookDefinition | None:
        """Returns a source, or nothing where there is none of that name.

        Raises:
            DefinitionError: its file is wrong.
        """
        if not SOURCE_NAME.fullmatch(name):
            return None
        path = self._folder / f"{name}{SUFFIX}"
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        version = (status.st_mtime_ns, status.st_size)
        known = self._read.get(name)
        if known is None or known[0] != version:
            known = self._read[name] = (version, read_definition(path, WebhookDefinition).definition)
        return known[1]

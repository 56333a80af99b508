"""A YAML file of include/ that is read into a model of its own kind: a report, or a source of webhooks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from quire.errors import DefinitionError
from quire.report.catalog.text_file import read_text_file
from quire.report.catalog.validation_errors import (
    CATALOG_KEYS,
    MAX_PROBLEMS,
    known_keys,
    unknown_key,
    validation_problems,
)
from quire.report.catalog.yaml_document import FileProblem, YamlDocument, definition_error, read_document
from quire.report.definition.strict_model import StrictModel

SUFFIX = ".yaml"
Model = TypeVar("Model", bound=StrictModel)


@dataclass(frozen=True, slots=True)
class DefinitionFile(Generic[Model]):
    """What a file says, checked and with its lines; ``file`` is its name in errors."""

    definition: Model
    document: YamlDocument
    file: str


def definition_files(folder: Path) -> list[Path]:
    """Returns the YAML files of a folder, those with a suffix that will be refused too."""
    return sorted(path for path in folder.iterdir() if path.suffix in (SUFFIX, ".yml") and path.name[0] not in ".#")


def read_definition(path: Path, model: type[Model]) -> DefinitionFile[Model]:
    """Reads a file of a folder under include/ into a model that is named for the file.

    Raises:
        DefinitionError: it cannot be read, or says what the model does not take.
    """
    file = path.relative_to(path.parents[2]).as_posix()
    if path.suffix != SUFFIX:
        raise DefinitionError(f"{file}: rename it to {path.stem}{SUFFIX}")
    try:
        text = read_text_file(path, folder=path.parent)
    except (OSError, ValueError) as error:
        raise DefinitionError(f"{file}: cannot be read: {error}") from error
    document = read_document(text, file=file)
    return DefinitionFile(_validate(path, document, model, file=file), document, file)


def _validate(path: Path, document: YamlDocument, model: type[Model], *, file: str) -> Model:
    for key in CATALOG_KEYS:
        if key in document.values and key in model.model_fields:
            line, shown = document.locate((key,))
            whose = path.parent.name.removesuffix("s")
            reason = (
                f"the file's own name is the {whose}'s" if key == "name" else unknown_key(key, known_keys((), model))
            )
            raise definition_error([FileProblem(file=file, line=line, field=shown, reason=reason)])
    try:
        return model.model_validate({"name": path.stem, **document.values})
    except ValidationError as error:
        faults = validation_problems(error, document, file=file, model=model)
        raise definition_error(faults, uncounted=max(0, error.error_count() - MAX_PROBLEMS)) from error

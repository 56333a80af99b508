"""Reads a YAML file under include/ into the pydantic model for a report or a webhook."""

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
    """A validated definition, and the document from which it was read; ``file`` is the file's name in errors."""

    definition: Model
    document: YamlDocument
    file: str


def definition_files(folder: Path) -> list[Path]:
    """Returns the YAML files in a folder, including ``.yml`` files, which ``read_definition`` rejects."""
    return sorted(path for path in folder.iterdir() if path.suffix in (SUFFIX, ".yml") and path.name[0] not in ".#")


def read_definition(path: Path, model: type[Model]) -> DefinitionFile[Model]:
    """Reads a YAML file into a model, and sets the model's ``name`` to the file's stem.

    Raises:
        DefinitionError: the file cannot be read, is not valid YAML, or does not match the model.
    """
    file = path.relative_to(path.parents[2]).as_posix()
    if path.suffix != SUFFIX:
        raise DefinitionError(f"{file}: rename the file to {path.stem}{SUFFIX}")
    try:
        text = read_text_file(path, folder=path.parent)
    except (OSError, ValueError) as error:
        raise DefinitionError(f"{file}: cannot read the file: {error}") from error
    document = read_document(text, file=file)
    return DefinitionFile(_validate(path, document, model, file=file), document, file)


def _validate(path: Path, document: YamlDocument, model: type[Model], *, file: str) -> Model:
    for key in CATALOG_KEYS:
        if key in document.values and key in model.model_fields:
            line, field = document.locate((key,))
            kind = path.parent.name.removesuffix("s")
            reason = (
                f"remove this key: the file name is the {kind}'s name"
                if key == "name"
                else unknown_key(key, known_keys((), model))
            )
            raise definition_error([FileProblem(file=file, line=line, field=field, reason=reason)])
    try:
        return model.model_validate({"name": path.stem, **document.values})
    except ValidationError as error:
        problems = validation_problems(error, document, file=file, model=model)
        raise definition_error(problems, unlisted=max(0, error.error_count() - MAX_PROBLEMS)) from error

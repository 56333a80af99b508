"""A YAML file, read so that every value can be traced to its line.

Stricter than YAML: a key may stand only once, keys are text, no text has control characters, and dates stay the text
they are, so that a definition holds nothing but JSON's own types.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from quire.errors import DefinitionError
from quire.report.catalog.yaml_hints import advice_of
from quire.report.catalog.yaml_limits import first_excess

MAX_LISTED_PROBLEMS = 3  # an error is one line
STRING = "tag:yaml.org,2002:str"
TIMESTAMP = "tag:yaml.org,2002:timestamp"
MERGE = "tag:yaml.org,2002:merge"
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
MAX_NUMBER_LENGTH = 400  # characters: Python writes no integer of more than 4,300 digits, and fails
# Of the safe loader's types, those that JSON lacks. Pydantic would take the bytes of !!binary for text.
FOREIGN_TAGS = {f"tag:yaml.org,2002:{name}": f"!!{name}" for name in ("binary", "omap", "pairs", "set")}
# PostgreSQL, which holds Airflow's metadata, refuses NUL and surrogates. Newlines and tabs may be in a text of lines.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProblem:
    """One thing that is wrong in a file. ``line`` counts from 1."""

    file: str
    reason: str
    line: int | None = None
    field: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.field, self.reason) if part)


def definition_error(faults: Sequence[FileProblem], *, uncounted: int = 0) -> DefinitionError:
    """Returns one error, of one line, for all that is wrong with a report; ``uncounted`` faults are not listed."""
    told = "; ".join(map(str, faults[:MAX_LISTED_PROBLEMS]))
    more = len(faults) - MAX_LISTED_PROBLEMS + uncounted
    return DefinitionError(f"{told}; and {more} more" if more > 0 else told)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's safe loader, libyaml's where it was built in, without dates."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """What a file says, as plain values, and the nodes they came from."""

    values: dict[str, Any]
    root: yaml.MappingNode

    def locate(self, path: Sequence[str | int]) -> tuple[int, str]:
        """Returns the line of the value at ``path``, and the path as people write it: ``summaries[0].by``.

        Parts that are not in the file end the way, at the line of what was last there; the first missing key is
        still named. What pydantic adds to its paths for itself is in angle or square brackets, and is passed over.
        """
        node: yaml.Node = self.root
        line, field = 1, ""
        for part in path:
            if isinstance(part, str) and part[:1] in "<[":
                continue
            if isinstance(node, yaml.MappingNode):
                field = f"{field}.{part}" if field else str(part)
                pair = next((pair for pair in reversed(node.value) if pair[0].value == part), None)
                if pair is None:
                    break
                line, node = pair[0].start_mark.line + 1, pair[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
                field, node = f"{field}[{part}]", node.value[part]
                line = node.start_mark.line + 1
            else:
                break
        return line, field


def read_document(text: str, *, file: str) -> YamlDocument:
    """Reads the content of a YAML file; ``file`` is its name in errors.

    Raises:
        DefinitionError: it is not valid YAML, or not such YAML as a definition may be.
    """
    found = _parse(text, file=file)
    if isinstance(found, YamlDocument):
        return found
    raise definition_error(found)


def _parse(text: str, *, file: str) -> YamlDocument | list[FileProblem]:
    try:
        if excess := first_excess(yaml.parse(text, Loader=_Loader)):
            return [FileProblem(file=file, line=excess[0], reason=excess[1])]
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return [FileProblem(file=file, reason="is empty")]
            if not isinstance(root, yaml.MappingNode):
                return [FileProblem(file=file, line=1, reason="must be a mapping, such as title: Flights")]
            if faults := list(_node_problems(root, file=file, seen=set())):
                return faults
            return YamlDocument(loader.construct_document(root), root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        reason = ", ".join(part for part in (error.problem, error.context) if part)
        return [FileProblem(file=file, line=line, reason=f"not valid YAML: {reason}{advice_of(error, text)}")]
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # odd characters, or a tag such as !!int on no number
        reason = getattr(error, "reason", None) or str(error)
        return [FileProblem(file=file, reason=f"not valid YAML: {reason}")]
    except (
        LookupError,
        AttributeError,
    ) as error:  # a tag such as !!bool or !!timestamp on a word
        return [FileProblem(file=file, reason=f"not valid YAML: a value is not of the type that its tag says: {error}")]


def _node_problems(
    node: yaml.Node, *, file: str, seen: set[int], path: tuple[str | int, ...] = ()
) -> Iterator[FileProblem]:
    """Finds what YAML takes and a definition does not, in a node and in the nodes inside it."""
    if id(node) in seen:  # an alias
        return
    seen.add(id(node))
    line = node.start_mark.line + 1
    if node.tag in FOREIGN_TAGS:
        reason = f"has the tag {FOREIGN_TAGS[node.tag]}: write text, a number, a list or a mapping"
        yield FileProblem(file=file, line=line, field=_field(path), reason=reason)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield from _node_problems(item, file=file, seen=seen, path=(*path, position))
    elif isinstance(node, yaml.MappingNode):
        yield from _key_problems(node, file=file, path=path)
        for key, value in node.value:
            yield from _node_problems(value, file=file, seen=seen, path=(*path, _shown(key)))
    elif node.tag in NUMBERS and len(node.value) > MAX_NUMBER_LENGTH:
        reason = f"is a number of {len(node.value):,} characters: at most {MAX_NUMBER_LENGTH} are allowed"
        yield FileProblem(file=file, line=line, field=_field(path), reason=reason)
    elif control := CONTROL.search(node.value):
        reason = f"has the control character {_escaped(control.group())}: take it out"
        yield FileProblem(file=file, line=line, field=_field(path), reason=reason)


def _key_problems(node: yaml.MappingNode, *, file: str, path: tuple[str | int, ...]) -> Iterator[FileProblem]:
    """Finds keys that stand twice, of which YAML would keep the last, and keys such as ``on`` that are no text."""
    keys: set[str] = set()
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if isinstance(key, yaml.ScalarNode) and (control := CONTROL.search(key.value)):
            reason = f"the key {key.value!r} has the control character {_escaped(control.group())}: take it out"
            yield FileProblem(file=file, line=line, field=_field(path), reason=reason)
        elif key.tag not in (STRING, MERGE):
            yield FileProblem(file=file, line=line, reason=f"the key {_shown(key)} is not text: write it in quotes")
        elif key.value in keys:
            yield FileProblem(file=file, line=line, field=key.value, reason="this key stands twice")
        else:
            keys.add(key.value)


def _field(path: Sequence[str | int]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return _escaped("".join(parts).removeprefix("."))


def _escaped(text: str) -> str:
    return CONTROL.sub(lambda control: repr(control.group())[1:-1], text)


def _shown(key: yaml.Node) -> str:
    return str(key.value) if isinstance(key, yaml.ScalarNode) else "here"

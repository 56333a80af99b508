"""Parses a YAML file, and maps each value to its line.

The parser is stricter than YAML: keys must be unique strings, and strings must not contain control characters. Dates
remain strings, so a definition contains only JSON types.
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
from quire.report.definition.parameter import MAX_NUMBER_LENGTH

MAX_LISTED_PROBLEMS = 3  # per error, because an error is a single line
STRING = "tag:yaml.org,2002:str"
TIMESTAMP = "tag:yaml.org,2002:timestamp"
MERGE = "tag:yaml.org,2002:merge"
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
# The safe loader supports these types, but JSON does not. Pydantic would accept the bytes of !!binary as a string.
FOREIGN_TAGS = {f"tag:yaml.org,2002:{name}": f"!!{name}" for name in ("binary", "omap", "pairs", "set")}
# PostgreSQL, Airflow's metadata database, rejects NUL and surrogates. Multi-line strings may contain newlines and tabs.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProblem:
    """A problem in a file. Line numbers start at 1."""

    file: str
    reason: str
    line: int | None = None
    field: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.field, self.reason) if part)


def definition_error(problems: Sequence[FileProblem], *, unlisted: int = 0) -> DefinitionError:
    """Returns a one-line error that lists the first problems and counts the remaining ones.

    Args:
        problems: the problems in the report's files.
        unlisted: how many more problems there are, which the error counts but does not list.
    """
    listed = "; ".join(map(str, problems[:MAX_LISTED_PROBLEMS]))
    more = len(problems) - MAX_LISTED_PROBLEMS + unlisted
    return DefinitionError(f"{listed}; and {more} more" if more > 0 else listed)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's safe loader without support for dates; uses the C implementation if it is installed."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """A file's content as plain Python values, and the YAML nodes from which the values were built."""

    values: dict[str, Any]
    root: yaml.MappingNode

    def locate(self, path: Sequence[str | int]) -> tuple[int, str]:
        """Returns the line of the value at ``path``, and the path as a string such as ``summaries[0].by``.

        If a key is missing, the line is that of its parent, and the string ends with the missing key. Parts in angle
        brackets or square brackets, which pydantic adds to its paths, are ignored.
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
    """Parses a YAML file's content; ``file`` is the file's name in errors.

    Raises:
        DefinitionError: the text is not valid YAML, or uses YAML features that definitions do not allow.
    """
    parsed = _parse(text, file=file)
    if isinstance(parsed, YamlDocument):
        return parsed
    raise definition_error(parsed)


def _parse(text: str, *, file: str) -> YamlDocument | list[FileProblem]:
    try:
        if excess := first_excess(yaml.parse(text, Loader=_Loader)):
            return [FileProblem(file=file, line=excess[0], reason=excess[1])]
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return [FileProblem(file=file, reason="the file is empty")]
            if not isinstance(root, yaml.MappingNode):
                return [FileProblem(file=file, line=1, reason="the file must be a mapping, such as title: Flights")]
            if problems := list(_node_problems(root, file=file, seen=set())):
                return problems
            return YamlDocument(loader.construct_document(root), root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        reason = ", ".join(part for part in (error.problem, error.context) if part)
        return [FileProblem(file=file, line=line, reason=f"not valid YAML: {reason}{advice_of(error, text)}")]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # invalid characters, or a value that does not match its tag, such as !!int
        reason = getattr(error, "reason", None) or str(error)
        return [FileProblem(file=file, reason=f"not valid YAML: {reason}")]
    except (LookupError, AttributeError) as error:  # a value that does not match !!bool or !!timestamp
        return [FileProblem(file=file, reason=f"not valid YAML: a value does not match its type tag: {error}")]


def _node_problems(
    node: yaml.Node, *, file: str, seen: set[int], path: tuple[str | int, ...] = ()
) -> Iterator[FileProblem]:
    """Yields a problem for each construct in a node or its descendants that YAML allows but definitions do not."""
    if id(node) in seen:  # an alias
        return
    seen.add(id(node))
    line = node.start_mark.line + 1
    if node.tag in FOREIGN_TAGS:
        reason = f"the tag {FOREIGN_TAGS[node.tag]} is not supported: write a string, a number, a list or a mapping"
        yield FileProblem(file=file, line=line, field=_field(path), reason=reason)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield from _node_problems(item, file=file, seen=seen, path=(*path, position))
    elif isinstance(node, yaml.MappingNode):
        yield from _key_problems(node, file=file, path=path)
        for key, value in node.value:
            yield from _node_problems(value, file=file, seen=seen, path=(*path, _key_text(key)))
    elif node.tag in NUMBERS and len(node.value) > MAX_NUMBER_LENGTH:
        reason = f"the number has {len(node.value):,} characters; at most {MAX_NUMBER_LENGTH} are allowed"
        yield FileProblem(file=file, line=line, field=_field(path), reason=reason)
    elif control := CONTROL.search(node.value):
        reason = f"contains the control character {_escape(control.group())}: remove it"
        yield FileProblem(file=file, line=line, field=_field(path), reason=reason)


def _key_problems(node: yaml.MappingNode, *, file: str, path: tuple[str | int, ...]) -> Iterator[FileProblem]:
    """Yields a problem for each key that is not a string, and for each duplicate key; PyYAML keeps only the last."""
    keys: set[str] = set()
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if isinstance(key, yaml.ScalarNode) and (control := CONTROL.search(key.value)):
            reason = f"the key {key.value!r} contains the control character {_escape(control.group())}: remove it"
            yield FileProblem(file=file, line=line, field=_field(path), reason=reason)
        elif key.tag not in (STRING, MERGE):
            yield FileProblem(file=file, line=line, reason=f"the key {_key_text(key)} is not a string: quote it")
        elif key.value in keys:
            yield FileProblem(file=file, line=line, field=key.value, reason="duplicate key")
        else:
            keys.add(key.value)


def _field(path: Sequence[str | int]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return _escape("".join(parts).removeprefix("."))


def _escape(text: str) -> str:
    return CONTROL.sub(lambda control: repr(control.group())[1:-1], text)


def _key_text(key: yaml.Node) -> str:
    return str(key.value) if isinstance(key, yaml.ScalarNode) else "here"

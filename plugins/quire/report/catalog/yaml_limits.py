"""Limits the depth and size of a YAML document.

The limits are checked on the parser's events, before any node is built: libyaml's composer recurses in C, where 30,000
nested levels overflow the stack and crash the process. Aliases and merges (``<<``) count as the values that they
repeat, because a few lines of aliases to aliases expand to millions of values.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import yaml

MAX_DEPTH = 50  # nested lists and mappings
MAX_VALUES = 50_000  # includes keys; a PostgreSQL table allows 1,600 columns, each described by up to 11 values


@dataclass(slots=True)
class _Node:
    """A value with its nesting depth and its number of values, including itself."""

    anchor: str | None
    depth: int = 0
    values: int = 1

    def add(self, child: _Node) -> None:
        self.depth = max(self.depth, child.depth + 1)
        self.values += child.values


@dataclass(slots=True)
class _Counter:
    """Counts depth and values while a document is parsed; ``parents`` holds the open lists and mappings."""

    values: int = 0
    parents: list[_Node] = field(default_factory=list)
    anchors: dict[str, _Node] = field(default_factory=dict)

    def read(self, event: yaml.NodeEvent | yaml.CollectionEndEvent) -> str | None:
        """Counts an event, and returns the reason if the document exceeds a limit."""
        if isinstance(event, yaml.CollectionEndEvent):
            self._end(self.parents.pop())
            return None
        if isinstance(event, yaml.AliasEvent):
            if any(parent.anchor == event.anchor for parent in self.parents):
                return f"the alias *{event.anchor} refers to a value that contains it"
            target = self.anchors.get(event.anchor or "", _Node(None))  # the composer rejects unknown aliases
            node = _Node(None, depth=target.depth, values=target.values)
        else:
            node = _Node(event.anchor, depth=int(isinstance(event, yaml.CollectionStartEvent)))
        self.values += node.values
        if self.values > MAX_VALUES:
            return f"more than {MAX_VALUES:,} keys and values, including those that aliases repeat"
        if len(self.parents) + node.depth > MAX_DEPTH:
            return f"more than {MAX_DEPTH} nested lists and mappings"
        if isinstance(event, yaml.CollectionStartEvent):
            self.parents.append(node)
        else:
            self._end(node)
        return None

    def _end(self, node: _Node) -> None:
        if node.anchor:
            self.anchors[node.anchor] = node
        if self.parents:
            self.parents[-1].add(node)


def first_excess(events: Iterable[yaml.Event]) -> tuple[int, str] | None:
    """Returns the line and the reason if a document exceeds a limit, without reading further events; otherwise None."""
    counter = _Counter()
    for event in events:
        if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent) and (reason := counter.read(event)):
            return (event.start_mark.line + 1 if event.start_mark else 1), reason
    return None

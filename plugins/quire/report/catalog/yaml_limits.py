"""Limits a YAML document's depth and size.

The parser's events are checked before any node is built, because libyaml's composer recurses in C: 30,000 nested levels
overflow the stack and crash the process. For each alias or merge (``<<``), all the values that it repeats are counted,
because a few lines of nested aliases can expand to millions of values.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import yaml

MAX_DEPTH = 50  # nested lists and mappings
MAX_VALUES = 50_000  # including keys; a table has up to 1,600 columns, and describing a column takes up to 11 values


@dataclass(slots=True)
class _Node:
    """A value's nesting depth, and the number of values in it, including the value itself."""

    anchor: str | None
    depth: int = 0
    values: int = 1

    def add(self, child: _Node) -> None:
        self.depth = max(self.depth, child.depth + 1)
        self.values += child.values


@dataclass(slots=True)
class _Counter:
    """Tracks the depth and the number of values during parsing; ``parents`` holds the unfinished lists and mappings."""

    values: int = 0
    parents: list[_Node] = field(default_factory=list)
    anchors: dict[str, _Node] = field(default_factory=dict)

    def read(self, event: yaml.NodeEvent | yaml.CollectionEndEvent) -> str | None:
        """Processes an event; if the document now exceeds a limit, returns the reason."""
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
    """Returns the line at which a document exceeds a limit, and the reason; None if it does not exceed any limit."""
    counter = _Counter()
    for event in events:
        if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent) and (reason := counter.read(event)):
            return (event.start_mark.line + 1 if event.start_mark else 1), reason
    return None

"""Limits on the depth and size of a YAML document.

They are checked on the parser's events, before anything is built: libyaml's composer recurses in C, where nesting of
30,000 levels overflows the stack and ends the process. Aliases count as what they repeat, and so do merges (``<<``):
a few lines of aliases to aliases make millions of values.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import yaml

MAX_DEPTH = 50  # lists and mappings inside each other
MAX_VALUES = 50_000  # and keys: the widest table of PostgreSQL has 1,600 columns, which take 11 each


@dataclass(slots=True)
class _Node:
    """A value, with how many levels and how many values it has, itself included."""

    anchor: str | None
    depth: int = 0
    values: int = 1

    def add(self, child: _Node) -> None:
        self.depth = max(self.depth, child.depth + 1)
        self.values += child.values


@dataclass(slots=True)
class _Counter:
    """Counts a document as it is parsed. ``parents`` are the lists and mappings that have not ended."""

    values: int = 0
    parents: list[_Node] = field(default_factory=list)
    anchors: dict[str, _Node] = field(default_factory=dict)

    def read(self, event: yaml.NodeEvent | yaml.CollectionEndEvent) -> str | None:
        """Counts an event. Returns why the document is refused, if it is."""
        if isinstance(event, yaml.CollectionEndEvent):
            self._end(self.parents.pop())
            return None
        if isinstance(event, yaml.AliasEvent):
            if any(parent.anchor == event.anchor for parent in self.parents):
                return f"the alias *{event.anchor} stands inside the value that it repeats"
            target = self.anchors.get(event.anchor or "", _Node(None))  # the composer refuses unknown ones
            node = _Node(None, depth=target.depth, values=target.values)
        else:
            node = _Node(event.anchor, depth=int(isinstance(event, yaml.CollectionStartEvent)))
        self.values += node.values
        if self.values > MAX_VALUES:
            return f"more than {MAX_VALUES:,} keys and values, counting what aliases repeat"
        if len(self.parents) + node.depth > MAX_DEPTH:
            return f"more than {MAX_DEPTH} lists and mappings inside each other"
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
    """Returns the line and the reason where a document passes a limit, or None. Reads no event behind it."""
    counter = _Counter()
    for event in events:
        if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent) and (reason := counter.read(event)):
            return (event.start_mark.line + 1 if event.start_mark else 1), reason
    return None

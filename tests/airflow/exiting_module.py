"""A module that exits the process that imports it."""

raise SystemExit(2)

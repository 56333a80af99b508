"""Writes XLSX workbooks: cells, sheets and the ZIP package. This package does not depend on report definitions."""

"""Writes XLSX workbooks: cells, sheets and the package. It does not depend on reports."""

"""Writes XLSX workbooks: cells, sheets and the ZIP package. This code does not depend on reports."""

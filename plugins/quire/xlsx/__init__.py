"""Rows to XLSX: cells, sheets, package. Knows nothing of reports and imports nothing of quire but errors."""

"""Parses and applies Excel format codes, so that pages and notifications display values as Excel does.

sections     parses a code into sections of tokens and selects the section for a number
numbers      formats a number with its grouping, scaling, percent sign and exponent
date_times   formats a date, a time or both
validation   detects codes that Excel rejects or misreads
"""

from quire.number_formats.values import format_value

__all__ = ["format_value"]

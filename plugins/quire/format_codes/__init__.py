"""Excel format codes, read and applied: pages and notifications show values as a workbook's cells do.

sections   a code -> its sections, each a list of tokens, and the section that applies to a number
numbers    a number in a section: digits, grouping, percent, scaling, exponent
moments    a date, a time or both in a section
"""

from quire.format_codes.values import format_value

__all__ = ["format_value"]

"""Excel's limits: a sheet's size, and the numbers, dates and times that Excel represents exactly.

All other values are written as text.
"""

from __future__ import annotations

from quire.output_values.unrepresentable_dates import DAY_MICROSECONDS, days_since_epoch

MAX_SHEET_ROWS, MAX_SHEET_COLUMNS = 1_048_576, 16_384
MAX_DIGITS = 15
# In characters. A number no longer than this is between 1e-298 and 1e300, close to the limits of a double.
MAX_CELL_NUMBER_LENGTH = 300
# In days since 1970-01-01. Excel miscounts earlier days, because its calendar has a February 29, 1900.
FIRST_DAY, LAST_DAY = days_since_epoch(1900, 3, 1), days_since_epoch(9999, 12, 31)
# In microseconds since midnight. Excel rounds to the millisecond, so it would round a later time up to midnight.
LAST_TIME = DAY_MICROSECONDS - 1000

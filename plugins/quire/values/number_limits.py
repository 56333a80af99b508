"""The numbers that Excel keeps: others become text."""

MAX_DIGITS = 15
MAX_BYTES = 300  # of a number: below 1e300, and with digits no smaller than 1e-298, where Excel's own numbers end

"""The frozen records that stages exchange, and their conversion to JSON."""

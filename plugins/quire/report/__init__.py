"""Report definitions, the catalog that loads them, and run requests."""

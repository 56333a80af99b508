"""What a report is: its definition, the catalog of definitions, and requests for it."""

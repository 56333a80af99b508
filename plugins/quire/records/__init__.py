"""The records that pass between stages, and their JSON."""

"""Runs: their keys, manifests, leases, retention and verification."""

"""Manages runs: their keys, file names, manifests, leases, retention and verification."""

"""Manages the keys, file names, manifests, leases, retention and verification of runs."""

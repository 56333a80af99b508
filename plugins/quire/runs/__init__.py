"""Divides the work of runs into tasks and files, and manages their keys, manifests, leases and retention.

``work_estimate``, ``task_groups``, ``workbook_shards`` and ``file_names`` divide the work. ``run_key``,
``manifest_store``, ``leases``, ``retention`` and ``verify`` manage active and published runs.
"""

"""Exports PostgreSQL rows for any date range to Excel workbooks in S3-compatible storage.

The catalog reads a report's YAML and SQL files into a ReportDefinition. Each stage is one module, and no stage imports
another:

    stages/plan        request -> cache hits, and groups of partitions to extract
    stages/extract     a group of partitions -> one Parquet object per partition
    stages/layout      assigns rows to workbook shards; stops if the run is already published
    stages/aggregate   partial summaries or rows -> one small Parquet object per summary
    stages/render      workbook shards -> XLSX, uploaded while being written
    stages/publish     the summary workbook, then the manifest, which makes the run exist

``pipeline`` runs the stages in one process, ``airflow_dag`` as Airflow tasks.
"""

__version__ = "0.1.0"  # a constant, because a package that is copied rather than installed has no metadata

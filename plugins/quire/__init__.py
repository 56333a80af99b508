"""Any date range of PostgreSQL rows as Excel workbooks in S3-compatible storage.

Data passes through one module per stage; no stage imports another:

    catalog            YAML files -> ReportDefinition
    stages/plan        definition, range, parameters -> partitions, in groups
    stages/extract     a group of partitions -> one Parquet object each
    stages/layout      which rows go to which workbook; is this run already published?
    stages/aggregate   partial summaries or rows -> one small Parquet object per summary
    stages/render      workbook shards -> XLSX, uploaded while they are written
    stages/publish     the summaries' workbook, then the manifest, last: a run that exists

``pipeline`` calls them in one process, ``airflow_dag`` as Airflow tasks.
"""

__version__ = "0.1.0"  # here, since an image or an Airflow of one's own has the folder and no installed package

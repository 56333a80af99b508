"""Any date range of PostgreSQL rows as Excel workbooks in S3-compatible storage.

The way of the data, one module a step, none of which imports another:

    catalog            YAML files -> ReportDefinition
    stages/plan        definition, range, parameters -> partitions, in groups
    stages/extract     a group of partitions -> one Parquet object each
    stages/aggregate   all Parquet objects -> one small one per summary
    stages/layout      which rows go to which workbook; is this run published already?
    stages/render      workbook shares -> XLSX, uploaded while they are written
    stages/publish     the summaries' workbook, then the manifest, last: a run that exists

``pipeline`` calls them in one process, ``airflow_dag`` as Airflow tasks.
"""

import os

__version__ = "0.1.0"  # here, since an image or an Airflow of one's own has the folder and no installed package

# Read by Polars' allocator when it is loaded: freed pages go back to the kernel soon. A run over TPC-H lineitem of
# scale factor 1 holds 40 MB less, for a processor time that is the same.
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:100,muzzy_decay_ms:0")
# Arrow's allocator of the same kind, which keeps less of what is freed than the one it takes by itself: 50 MB less
# while rows are extracted, 25 MB while they are written, for 3% of the time. It knows no memory pages of other sizes.
if os.sysconf("SC_PAGE_SIZE") == 4096:
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
    # It would keep freed pages for a second, into the next stage: 50 to 80 MB more at its peak, for no time at all.
    os.environ.setdefault("JE_ARROW_MALLOC_CONF", "dirty_decay_ms:200,muzzy_decay_ms:0")
# How many row groups Polars fetches before they are asked for; by itself it goes to hundreds of MB with large files.
# TPC-H's first query over the 60 million rows of seven years, in S3: a peak of 255 MB; of 400 with 6, and no sooner.
os.environ.setdefault("POLARS_ROW_GROUP_PREFETCH_SIZE", "2")

"""YAML and SQL files -> ReportDefinition, each error with its file, line, field and the likely word.

loading          load_catalog (all reports, for Airflow) and find_definition (one, for the command line)
definition_file  a file of include/ -> a model of its own kind
document         a YAML file whose values know their lines
faults           pydantic's errors in our words
query_file       the report's SQL: found, read, its placeholders compared with the parameters
"""

from quire.report.catalog.loading import Catalog, find_definition, load_catalog

__all__ = ["Catalog", "find_definition", "load_catalog"]

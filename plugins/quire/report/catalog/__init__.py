"""Loads YAML and SQL files into a ReportDefinition; errors name file, line, field and the closest known name.

loading            load_catalog (all reports, for Airflow) and find_definition (one report, for the command line)
definition_file    reads one YAML file into a pydantic model
yaml_document      a parsed YAML file that maps each value to its line
yaml_limits        limits on nesting and size, checked before parsing
yaml_hints         advice for common YAML syntax errors
validation_errors  pydantic's errors, reworded for authors of YAML files
query_file         finds and reads a report's SQL file, and checks its placeholders
text_file          reads text files of bounded size
"""

from quire.report.catalog.loading import Catalog, find_definition, load_catalog

__all__ = ["Catalog", "find_definition", "load_catalog"]

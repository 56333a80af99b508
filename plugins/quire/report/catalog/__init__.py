"""Loads YAML and SQL files into a ReportDefinition; errors name the file, the line and the field.

loading            loads all reports for Airflow (load_catalog), or one report for the command line (find_definition)
definition_cache   reads definitions again only if their files change
definition_file    reads one YAML file into a pydantic model
yaml_document      parses a YAML file and maps each value to its line
yaml_limits        limits a YAML document's nesting and size before it is built
yaml_hints         suggests corrections for common YAML syntax errors
validation_errors  rewords pydantic's errors for authors of YAML files
query_file         finds and reads a report's SQL file, and checks its placeholders
text_file          reads text files up to a maximum size
"""

from quire.report.catalog.definition_cache import DefinitionCache
from quire.report.catalog.loading import Catalog, find_definition, load_catalog

__all__ = ["Catalog", "DefinitionCache", "find_definition", "load_catalog"]

"""Frozen pydantic models for a report's YAML file.

    report            ReportDefinition: the entire file, and checks that involve several of its parts
    source            the query, its tables and its freshness
    workbook_options  columns, file formats, and the split into files
    summary           grouped tables and their charts
    delivery          link and run lifetimes, and notification recipients
    owner             the contact for readers
    limits            the largest request that a report accepts
    parameter         the query's parameters, and the conversion of their values
    field_types       types for single fields: names, durations, time zones, cron expressions and windows
    name_checks       detection of duplicate names, and suggestions for misspelled names
    strict_model      the frozen base class, which rejects unknown keys

The models' checks do not need a database. ``quire.report.catalog`` reads the files; ``quire check`` also validates
expressions (``of``) and the query's columns.
"""

from quire.report.definition.delivery import Delivery, Notifier, Notify
from quire.report.definition.field_types import default_title
from quire.report.definition.limits import RequestLimits
from quire.report.definition.owner import Owner
from quire.report.definition.parameter import Parameter, ParameterValue
from quire.report.definition.report import ReportDefinition, StageName
from quire.report.definition.source import Probe, Source, SourceTable
from quire.report.definition.summary import Aggregation, ChartOptions, ChartType, GroupKey, Measure, SortKey, Summary
from quire.report.definition.workbook_options import Column, CsvOptions, FileFormat, RowSplit, Total, WorkbookOptions

__all__ = [
    "Aggregation",
    "ChartOptions",
    "ChartType",
    "Column",
    "CsvOptions",
    "Delivery",
    "FileFormat",
    "GroupKey",
    "Measure",
    "Notifier",
    "Notify",
    "Owner",
    "Parameter",
    "ParameterValue",
    "Probe",
    "ReportDefinition",
    "RequestLimits",
    "RowSplit",
    "SortKey",
    "Source",
    "SourceTable",
    "StageName",
    "Summary",
    "Total",
    "WorkbookOptions",
    "default_title",
]

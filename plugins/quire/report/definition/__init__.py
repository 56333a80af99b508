"""The fields of a report's YAML file, as frozen pydantic models.

    report       ReportDefinition: the file itself, and what its parts must agree on
    source       where the rows come from and when stored ones are stale
    presentation columns, workbook, delivery: what the reader gets
    summary      grouped tables and their charts
    readers      whom readers contact, and how much they may request
    parameter    extra binds, and reading what was given for them
    scalars      durations, zones, crons, windows, names
    part         the common base: frozen, unknown keys refused

Everything here is known without a database. Files are read by ``quire.report.catalog``; expressions (``of``) and the
query's columns are checked by ``quire check``.
"""

from quire.report.definition.delivery import Delivery, Notifier, Notify
from quire.report.definition.field_types import default_title
from quire.report.definition.limits import RequestLimits
from quire.report.definition.owner import Owner
from quire.report.definition.parameter import Parameter, ParameterValue
from quire.report.definition.report import ReportDefinition, StageName
from quire.report.definition.source import Probe, Source, SourceTable
from quire.report.definition.summary import Aggregation, Chart, ChartType, GroupKey, Measure, SortKey, Summary
from quire.report.definition.workbook import Column, CsvOptions, FileFormat, RowSplit, Total, Workbook

__all__ = [
    "Aggregation",
    "Chart",
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
    "Workbook",
    "default_title",
]

"""Writes XLSX workbooks: cells, sheets and the ZIP package. This package does not depend on report definitions.

model              the workbook, its tables and columns: the writer's input
workbook           streams a workbook: the entry point

workbook_template  the XML around the rows, created with XlsxWriter
static_sheets      fact sheets and tables, with charts from native_chart
detail_sheets      sheets of detail rows; row_batches divides the rows, row_xml renders them
cells              numbers, dates and times as cells; text_column and shared_strings handle text
column_totals      a column's totals; totals_row writes them
package            compresses the parts into the ZIP archive
"""

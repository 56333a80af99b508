"""Builds the tables and charts that workbooks, pages and notifications show.

about_sheet, files_sheet  sheets that describe a run and its files
detail_columns            detail sheet columns
summary_sheets            a sheet for each summary, with its table and chart
page_tables, svg_chart    the same tables and charts on a page; chart_data, chart_scale and chart_marks draw a chart
summary_limits            limits for pages and notifications
"""

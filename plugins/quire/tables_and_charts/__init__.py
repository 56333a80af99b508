"""Builds the tables and charts that workbooks, pages and notifications show."""

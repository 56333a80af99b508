"""Defines reports and run requests, and loads report definitions from files."""

"""The stages of a run, one module for each: plan, extract, layout, aggregate, render and publish.

No stage imports another stage.
"""

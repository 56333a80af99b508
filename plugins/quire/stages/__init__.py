"""A run's stages, one module per stage: plan, extract, layout, aggregate, render and publish.

No stage imports another stage.
"""

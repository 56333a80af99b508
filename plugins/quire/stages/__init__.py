"""The stages of a run, one module for each. No stage imports another stage."""

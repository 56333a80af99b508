"""The stages of a run; each stage is a module. No stage imports another."""

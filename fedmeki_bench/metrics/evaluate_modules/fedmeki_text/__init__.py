"""A module for `evaluate.load`."""

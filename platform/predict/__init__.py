"""Predictions of a model file that python -m platform.export has written."""

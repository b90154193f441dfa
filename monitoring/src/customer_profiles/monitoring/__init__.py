"""Alerts, metrics and health of the pipeline."""

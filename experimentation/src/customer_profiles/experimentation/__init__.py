"""Experiments on customers: assignment, exposures, analysis and planning."""

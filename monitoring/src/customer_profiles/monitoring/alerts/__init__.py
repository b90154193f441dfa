"""Alerts: where they come from, what is told to people and when, and how it reaches them."""

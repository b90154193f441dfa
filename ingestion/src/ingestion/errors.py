"""Errors that end a run with one clear message."""


class IngestError(Exception):
    """Something a person has to act on; the message names the next action."""

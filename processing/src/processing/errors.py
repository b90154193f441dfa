"""Errors that end a run with one clear message."""


class ProcessError(Exception):
    """Something a person has to act on; the message names the next action."""


class Superseded(ProcessError):
    """Another run has written what this one was about to write."""

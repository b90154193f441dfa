"""Errors that end a command with one clear message."""


class StackError(Exception):
    """Something a person has to act on; the message names the next action."""

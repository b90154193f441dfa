"""How to correct rejected rows, for messages to the user."""

from __future__ import annotations


def remedy_of(reason: str) -> str:
    """Return a line that says how to correct rows with a reason."""
    # Only an error needs the reference.
    from customer_profiles.contracts.reference import REASONS  # noqa: PLC0415

    return "".join(f"{reason}: {entry.remedy}\n" for entry in REASONS if entry.reason == reason)

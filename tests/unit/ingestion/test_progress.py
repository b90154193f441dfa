"""Names of new sources."""

from __future__ import annotations

from customer_profiles.ingestion.progress import new_source_name


def test_names_of_sources_are_never_given_twice() -> None:
    assert new_source_name("a.csv", []) == "a.csv"
    assert new_source_name("a.csv", ["a.csv", "a.csv#2"]) == "a.csv#3"

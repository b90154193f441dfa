"""The text format, read by Prometheus' own client library."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from customer_profiles.telemetry.catalogue import CATALOGUE, PREFIX
from customer_profiles.telemetry.exposition import Family, read_samples, render
from customer_profiles.telemetry.registry import Registry
from tests.support import ROOT

VALUES = st.floats(allow_nan=False) | st.integers(-(2**53), 2**53)


@settings(max_examples=50)
@given(st.text(), VALUES)
def test_the_client_library_reads_what_is_written(text: str, value: float) -> None:
    name = "customer_profiles_ingest_rows_rejected_total"
    family = Family(name, "counter", f"a {text}", {(name, (("reason", text),)): value})
    (read,) = text_string_to_metric_families(render([family]))
    (sample,) = read.samples
    assert (sample.name, sample.labels) == (name, {"reason": text})
    assert sample.value == float(value)
    assert read_samples(render([family])) == {(name, (("reason", text),)): float(value)}


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_numbers_beyond_numbers_are_read_too(value: float) -> None:
    family = Family("x", "gauge", "", {("x", ()): value})
    (read,) = text_string_to_metric_families(render([family]))
    assert str(read.samples[0].value) == str(value)


def test_lines_that_are_no_samples_are_left_out() -> None:
    assert read_samples('a 1\nb{c="d" 2\n\x00\nd x\n# HELP a b\ne 2 3 4\n') == {("a", ()): 1.0}


def test_names_follow_the_rules_of_the_field() -> None:
    for name, metric in CATALOGUE.items():
        assert re.fullmatch(r"customer_profiles_[a-z]+(_[a-z]+)*", name)
        assert name.endswith("_total") == (metric.kind == "counter")
        assert metric.help.endswith(".")
        # Base units.
        assert not re.search(r"_(ms|milliseconds|minutes|mb|megabytes|percent)(_|$)", name)
        assert not {"user_id", "customer", "user_session", "file", "run_id"} & set(metric.labels)


def test_the_page_about_monitoring_lists_every_metric() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text()
    listed = set(re.findall(r"^\| `([a-z_]+)` \| (?:counter|gauge|histogram) \|", page, re.M))
    assert {PREFIX + name for name in listed} == set(CATALOGUE)


def test_a_metric_that_is_not_in_the_catalogue_is_refused() -> None:
    registry = Registry()
    with pytest.raises(ValueError, match="no counter"):
        registry.increase("customers")
    with pytest.raises(ValueError, match="user_id"):
        registry.set("customers", 1, user_id="7")


def test_a_histogram_counts_what_is_at_most_each_bound() -> None:
    registry = Registry()
    for seconds in (0.5, 1.0, 7.0):
        registry.observe("stream_batch_seconds", seconds, (1.0, 5.0))
    (family,) = text_string_to_metric_families(registry.render())
    assert family.type == "histogram"
    samples = {
        (each.name.rpartition("_")[2], each.labels.get("le")): each.value for each in family.samples
    }
    assert samples == {
        ("bucket", "1"): 2,
        ("bucket", "5"): 2,
        ("bucket", "+Inf"): 3,
        ("sum", None): 8.5,
        ("count", None): 3,
    }

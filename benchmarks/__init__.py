"""Benchmarks: each stage of the pipeline beside its peers, in one run on one machine."""

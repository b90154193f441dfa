"""Metrics of a process in Prometheus' text format, and traces where a collector is set.

Writing metrics needs the standard library alone, so the jobs that write them have no dependency
more. Traces need the extra `traces`.
"""

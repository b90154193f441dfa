"""Data quality: statistics that add up, checks, learned baselines and findings.

Everything here is pure. Statistics (`statistics`, `customers`) need Polars alone, because they run
on executors; only `contract` and `calendar` read YAML.
"""

"""The edge of data quality: the lake's statistics into findings, for people and for alerts."""

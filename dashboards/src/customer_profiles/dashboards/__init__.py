"""Panels as code, shown by a page, a report and Kibana. Needs neither Spark nor Kafka."""

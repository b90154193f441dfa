"""Dashboards: panels as code, from which a page, a report and Kibana's saved objects are made."""

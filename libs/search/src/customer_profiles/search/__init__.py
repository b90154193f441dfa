"""Customer profiles and the numbers for dashboards in Elasticsearch.

* `client`: the connection, and what its errors mean
* `bulk`: the one bulk request
* `mapping`: the fields of the profile index and its alias
* `documents`: profiles as JSON documents
* `profile_index`: the profile indices behind the alias
* `metrics_indices`: the indices that dashboards show beside the profiles
* `accounts`: the read-only account and Kibana's
"""

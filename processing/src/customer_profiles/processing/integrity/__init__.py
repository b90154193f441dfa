"""`make verify` and `make repair`: is everything there that should be, and what can be rebuilt?

`verify` gathers findings: `survey` and `batches` look at the batch log, `lake.check` at what a
listing shows, `buckets` at contents, `indices` at Elasticsearch, `topic` at Kafka. `repair` turns
a diagnosis into steps that may be repeated. What decides is pure; only `survey`, `topic`, `spill`
and the two commands read or write.
"""

"""Application: CSV events into the Kafka topic `raw_events`, with every row accounted for.

An event passes these modules in order: `inputs` and `blocks` read its row, `header` names the
columns, `validate` judges the row, `messages` derives the message, `deduplicate` drops exact
repeats, `prepare` makes a batch, and `pipeline` sends the batch in one transaction.
"""

"""The data lake: events, profiles and state as named objects in an object store.

Start with `layout` for the names of all objects, `events` and `profiles` for their content, and
`batch_log` for the micro-batches that have landed.
"""

"""What Spark's executors run.

Every task is a function of its arguments and of objects with deterministic names.
Spark may therefore run a task again, or twice at once, with the same result.
"""

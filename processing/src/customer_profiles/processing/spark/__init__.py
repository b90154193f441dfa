"""The Spark cluster: the driver's JVM, the session, its jobs and what their failures mean."""

"""A generator of synthetic events that behave like those of the real file."""

"""One script a framework, run by a Python of its own; imports nothing of this package."""

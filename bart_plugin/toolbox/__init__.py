"""BART itself: find one, build one that knows TensorFlow, run it, try what it can do."""

"""Results to look at: figures of merit and pictures."""

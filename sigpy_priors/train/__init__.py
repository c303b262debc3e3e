"""Training of the priors: config, datasets, loop, metrics."""

"""What ships with the package: bundled priors and the example slice."""

"""What ships with the package: bundled priors and the example slice."""

__all__ = ["DEFAULT_PRIOR"]

DEFAULT_PRIOR = "brain"
"""str: the bundled prior where none is named: the best measured one for any scan."""

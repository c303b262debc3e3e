"""What images look like: the contract of a prior, networks, closed forms, files.

Knows no k-space.
"""

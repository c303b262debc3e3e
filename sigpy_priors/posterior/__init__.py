"""Draws from the posterior, and what they tell: samplers, statistics, calibration."""

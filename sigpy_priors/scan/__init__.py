"""What was measured: operator, data, noise, units, coil maps. Knows no prior."""

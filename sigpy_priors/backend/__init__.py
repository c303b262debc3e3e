"""Arrays of numpy, cupy and torch, memory, optional packages."""

"""Files: k-space, maps and images in and out; written whole or not at all."""

"""Many slices: mapped one after the other or over a cluster, resumable."""

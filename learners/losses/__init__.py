"""Loss terms, one file each: pure functions that return a sum, a count and metrics."""

"""The words every room shares: records, protocols, distributions, counters, seeds. No Ray, no optimiser."""

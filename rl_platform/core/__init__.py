"""What every package shares: records, protocols, distributions, schedules, seeds. No Ray, no optimiser."""

"""Seeing a run: statistics, the files of a run's folder, progress in the terminal, the learning curve, videos."""
